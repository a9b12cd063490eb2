"""The servers of the tests do what they are for: replicas lag, stop, die and take over, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pymysql
import pytest
import servers
from processes import environment
from servers import (
    LATE_BY_MILLISECONDS,
    Cluster,
    PgBouncer,
    Replica,
    kept_folder,
    mariadb_cluster,
    postgresql_cluster,
)

CLUSTERS = {"postgresql": postgresql_cluster, "mariadb": mariadb_cluster}
REFUSALS = (psycopg.errors.ReadOnlySqlTransaction, pymysql.err.OperationalError)
GONE = (psycopg.OperationalError, pymysql.err.OperationalError)

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.once]


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """With a table in a database of its own."""
    cluster: Cluster = request.getfixturevalue(request.param)
    cluster.primary.execute("DROP DATABASE IF EXISTS scratch")
    cluster.primary.execute("CREATE DATABASE scratch")
    cluster.primary.execute("CREATE TABLE seen (number int)", database="scratch")
    return cluster


@pytest.fixture(params=CLUSTERS)
def own_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One that the test may leave changed."""
    with CLUSTERS[request.param]() as cluster:
        cluster.primary.execute("CREATE DATABASE scratch")
        cluster.primary.execute("CREATE TABLE seen (number int)", database="scratch")
        yield cluster


def insert(cluster: Cluster) -> None:
    cluster.primary.execute("INSERT INTO seen VALUES (1)", database="scratch")


def count(server: servers.Server) -> int:
    [(number,)] = server.execute("SELECT count(*) FROM seen", database="scratch")
    return number


def test_every_replica_gets_what_is_written(cluster: Cluster) -> None:
    insert(cluster)
    for replica in cluster.replicas:
        replica.catch_up()
        assert count(replica) == 1


def test_a_replica_takes_no_writes_of_the_application(cluster: Cluster) -> None:
    for replica in cluster.replicas:
        replica.catch_up()
        with pytest.raises(REFUSALS):
            as_application(replica, "INSERT INTO seen VALUES (1)")


def as_application(server: servers.Server, statement: str) -> None:
    if server.scheme == "postgres":
        with psycopg.connect(server.url("scratch")) as connection:
            connection.execute(statement)
        return
    account = {"host": servers.HOST, "port": server.port, "user": servers.USER, "password": servers.PASSWORD}
    with pymysql.connect(**account, database="scratch", autocommit=True) as connection:
        connection.cursor().execute(statement)


def test_one_standby_is_late(postgresql: Cluster) -> None:
    prompt, late = postgresql.replicas
    postgresql.primary.execute("DROP TABLE IF EXISTS late; CREATE TABLE late ()")
    start = time.monotonic()
    prompt.catch_up()
    assert late.execute("SELECT to_regclass('late')") == [(None,)]
    late.catch_up()
    assert time.monotonic() - start > LATE_BY_MILLISECONDS / 1000 - 0.5
    assert late.execute("SELECT to_regclass('late')") == [("late",)]


def test_a_paused_replica_stays_as_it_is(cluster: Cluster) -> None:
    for replica in cluster.replicas:
        replica.catch_up()
        replica.pause()
    insert(cluster)
    assert [count(replica) for replica in cluster.replicas] == [0] * len(cluster.replicas)
    for replica in cluster.replicas:
        replica.resume()
        replica.catch_up()
        assert count(replica) == 1


def test_a_killed_replica_comes_back_and_a_promoted_one_takes_writes(own_cluster: Cluster) -> None:
    replica: Replica = own_cluster.replicas[0]
    replica.catch_up()
    replica.kill()
    with pytest.raises(GONE):
        replica.execute("SELECT 1")
    insert(own_cluster)
    replica.start()
    replica.catch_up()
    own_cluster.primary.kill()
    replica.promote()
    replica.execute("INSERT INTO seen VALUES (2)", database="scratch")
    assert count(replica) == 2


def test_pgbouncer_gives_each_transaction_any_session(postgresql: Cluster) -> None:
    bouncer = PgBouncer(postgresql.primary)
    bouncer.create()
    address = bouncer.url("postgres")
    with psycopg.connect(address, autocommit=True) as one, psycopg.connect(address, autocommit=True) as other:
        sessions = [connection.execute("SELECT pg_backend_pid()").fetchone() for connection in (one, other)]
    assert sessions[0] == sessions[1]
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(address, options="-c search_path=x")


OWNER = """
import sys, time
from servers import {cluster}
with {cluster}() as cluster:
    print(cluster.primary.keeper.folder, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("start", CLUSTERS.values(), ids=CLUSTERS)
def test_nothing_is_left_of_an_owner_that_is_interrupted(
    start: Callable[[], AbstractContextManager[Cluster]], number: int, tmp_path: Path
) -> None:
    with start():
        pass  # a missing server is told here, not by a script that ends
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(cluster=start.__name__)],
        cwd=Path(__file__).parent,  # where it finds servers.py
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    folder = Path(owner.stdout.readline().strip())
    assert folder.is_absolute(), "the owner failed"
    assert len(processes_in(folder)) > 2
    owner.send_signal(number)
    owner.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while (folder.exists() or processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists()
    assert processes_in(folder) == []


def test_an_order_that_cannot_be_followed_leaves_nothing_behind() -> None:
    with kept_folder() as keeper:
        keeper.start("tail", "-f", keeper.folder / "log", log=keeper.folder / "log")
        with pytest.raises(ValueError, match="Expecting value"):
            keeper.run("no-such-program")
    assert not keeper.folder.exists()
    assert processes_in(keeper.folder) == []


def processes_in(folder: Path) -> list[str]:
    """The command lines that name the folder."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "command"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if str(folder) in line]


@pytest.mark.parametrize("is_ci", [True, False])
def test_a_missing_server_is_a_failure_in_ci_and_a_skip_with_a_reason_on_a_desk(
    monkeypatch: pytest.MonkeyPatch, is_ci: bool
) -> None:
    monkeypatch.setattr(servers.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(servers, "POSTGRESQL_FOLDERS", ())
    monkeypatch.setattr(servers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(os.environ, "CI", "true" if is_ci else "")
    for start in CLUSTERS.values():
        with pytest.raises(
            pytest.fail.Exception if is_ci else pytest.skip.Exception, match=r"NOT TESTED, .* is missing"
        ):
            start().__enter__()
