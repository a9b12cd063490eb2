"""What operators are told while a replica is late, cut off, killed and promoted: by a command, and by a site."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from baking import Combination, variants
from conftest import Bake, Bootstrapped
from databases import Databases, databases_of
from processes import environment, free_port, manage, serving, wait_until
from servers import Cluster, PostgreSQL, Replica, mariadb_cluster, postgresql_cluster

pytestmark = pytest.mark.once

CLUSTERS = {"postgresql": postgresql_cluster, "mysql": mariadb_cluster}
on_servers = variants([Combination("primary-replica", engine, "database") for engine in CLUSTERS])
# Looks after the replicas before it forks: its workers don't get its threads.
PRELOADED = """
import time
from config.wsgi import application
from dbrouting import health
while health.states()["replica1"].lag_seconds is None:
    time.sleep(0.05)
"""


class Site(NamedTuple):
    project: Path
    databases: Databases
    cluster: Cluster

    @property
    def replica(self) -> Replica:
        return self.cluster.replicas[0]

    def write(self) -> None:
        self.cluster.primary.execute("CREATE DATABASE written")
        self.cluster.primary.drop_database("written")

    def status(self, *arguments: str, **changes: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit code of ``replication_status``, and what it says of each alias."""
        done = subprocess.run(
            [sys.executable, "manage.py", "replication_status", "--json", *arguments],
            cwd=self.project,
            env=environment(**self.databases.environment, **changes),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode in {0, 1, 2}, done.stderr
        return done.returncode, {found["alias"]: found for found in json.loads(done.stdout)["databases"]}


@pytest.fixture
def site(bootstrapped: Bootstrapped, combination: Combination) -> Site:
    """On the servers that others use, too."""
    project, found = bootstrapped(combination)
    return Site(project, found, found.cluster)


@pytest.fixture
def own_site(baked: Bake, combination: Combination) -> Iterator[Site]:
    """On servers of its own, which it may leave changed."""
    project = baked(combination)
    with CLUSTERS[combination.database_engine]() as cluster:
        databases = databases_of(project, combination, cluster)
        manage(project, "bootstrap", **databases.environment)
        databases.catch_up()
        yield Site(project, databases, cluster)


@contextmanager
def cut_off(site: Site) -> Iterator[None]:
    """The first replica gets nothing from the primary, which is idle."""
    if not isinstance(site.cluster.primary, PostgreSQL):
        site.replica.execute("STOP REPLICA IO_THREAD")
        yield
        site.replica.execute("START REPLICA IO_THREAD")
        return
    with housekeeping_stopped(site.cluster.primary):
        site.databases.catch_up()
        [(address,)] = site.replica.execute("SHOW primary_conninfo")
        set_source(site.replica, "")
        wait_until(lambda: not is_receiving(site.replica), "It ends")
        yield
        set_source(site.replica, address)


@contextmanager
def housekeeping_stopped(server: PostgreSQL) -> Iterator[None]:
    """What PostgreSQL notes by itself from time to time is something that a replica lacks, like any other."""
    kinds = "'autovacuum launcher', 'background writer', 'checkpointer'"
    processes = [pid for (pid,) in server.execute(f"SELECT pid FROM pg_stat_activity WHERE backend_type IN ({kinds})")]
    server.keeper.run("kill", "-STOP", *processes)
    try:
        worker = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
        wait_until(lambda: not server.execute(worker), "It ends")
        yield
    finally:
        server.keeper.run("kill", "-CONT", *processes)


def is_receiving(standby: Replica) -> bool:
    return bool(standby.execute("SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL"))


def set_source(standby: Replica, address: str) -> None:
    escaped = address.replace("'", "''")
    standby.execute(f"ALTER SYSTEM SET primary_conninfo = '{escaped}'")
    standby.execute("SELECT pg_reload_conf()")


@on_servers
def test_the_command_tells_which_replica_is_behind_or_dead(site: Site) -> None:
    code, found = site.status()
    assert (code, found["replica1"]["state"], found["replica1"]["arrived"]) == (0, "well", True)

    with cut_off(site):
        code, found = site.status("--wait=1", REPLICA_MAX_LAG_SECONDS="0.5")
        assert (code, found["replica1"]["lag"], found["replica1"]["lag_seconds"]) == (0, 0, 0), "idle, and so not late"

    site.replica.pause()
    site.write()
    code, found = site.status("--wait=1", REPLICA_MAX_LAG_SECONDS="0.5")
    assert (code, found["replica1"]["state"], found["replica1"]["arrived"]) == (1, "late", False)
    site.write()
    _, later = site.status("--wait=0")
    assert later["replica1"]["lag"] > found["replica1"]["lag"] > 0
    site.replica.resume()

    site.replica.kill()
    code, found = site.status()
    assert (code, found["replica1"]["state"]) == (1, "unreachable")
    site.replica.start()
    site.databases.catch_up()
    assert site.status()[0] == 0


@on_servers
def test_a_site_leaves_out_what_is_not_well_and_takes_it_back(own_site: Site, tmp_path: Path) -> None:
    """Nobody visits it: it looks by itself."""
    (tmp_path / "preloaded.py").write_text(PRELOADED, "utf-8")
    port, log = free_port(), tmp_path / "server.log"
    words = f"-m gunicorn preloaded:application --preload --pythonpath {tmp_path} --bind 127.0.0.1:{port}"
    seconds = {"REPLICA_CHECK_SECONDS": "0.2", "REPLICA_COOLDOWN_SECONDS": "0.5", "REPLICA_MAX_LAG_SECONDS": "3"}
    variables = own_site.databases.environment | seconds
    with serving(own_site.project, [sys.executable, *words.split()], port, log, **variables) as address:
        browser = httpx.Client(base_url=address, timeout=30)

        def replica() -> dict[str, Any]:
            found: dict[str, Any] = browser.get("/healthz").json()["replicas"]["replica1"]
            return found

        wait_until(lambda: replica()["lag_seconds"] == 0, "It looks")
        assert replica()["state"] == "in"

        own_site.replica.pause()
        own_site.write()
        wait_until(lambda: replica()["state"] == "out", "One that is late is left out", seconds=30)
        assert "late" in replica()["reason"]
        own_site.replica.resume()
        wait_until(lambda: replica()["state"] == "in", "One that caught up is back", seconds=30)

        own_site.replica.kill()
        wait_until(lambda: replica()["state"] == "out", "A dead one is left out", seconds=30)
        assert "replica1" not in browser.get("/api/products/").json()["databases"]
        own_site.replica.start()
        wait_until(lambda: replica()["state"] == "in", "It is back", seconds=30)

        own_site.replica.promote()
        wait_until(lambda: "promoted" in replica()["reason"], "One that was promoted is left out", seconds=30)
        code, found = own_site.status()
        assert (code, found["replica1"]["state"]) == (1, "promoted")

        own_site.cluster.primary.kill()
        response = browser.get("/healthz")
        assert (response.status_code, response.json()["primary"]) == (503, "unreachable")
        assert own_site.status()[0] == 2
    told = log.read_text("utf-8")
    # Once for each change, however often it looked: by the worker, and by the process that forked unless it lost one.
    assert 3 <= told.count("The replica 'replica1' is out") <= 6, told
    assert "Traceback" not in told
