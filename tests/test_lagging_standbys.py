"""Standbys that are late, cancel reads, follow nobody any more, or somebody else: what a client reads is right.

Each is seen to go wrong with the router of Django's documentation, or by the question that most people ask first.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import bake_in
from load import DATABASE, OTHERS, OWN, TIMEOUT, Load, Shop
from pytest_cookies.plugin import Cookies
from servers import PASSWORD, USER, Cluster, PostgreSQL, Standby, postgresql_cluster

pytestmark = [pytest.mark.once, pytest.mark.xdist_group("lagging standbys")]

CLIENTS = 40
# Commits don't wait for the log to be written, let alone sent.
ASYNCHRONOUS = "?options=-c%20synchronous_commit%3Doff"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def project(cluster: Cluster, cookies_session: Cookies, template: Path) -> Path:
    project = bake_in(cookies_session, template, topology="primary-replica", database_engine="postgresql")
    Shop(project, cluster).prepare()
    return project


@pytest.fixture
def shop(project: Path, cluster: Cluster, record_property: Callable[[str, object], None]) -> Shop:
    """With an environment of the test's own."""
    return Shop(project, cluster, record_property)


@pytest.fixture
def prompt(shop: Shop) -> Standby:
    """The standby that is not late, as the only replica."""
    shop.environment["REPLICA_URLS"] = shop.cluster.replicas[0].url(DATABASE)
    return shop.cluster.replicas[0]


@pytest.fixture
def late(shop: Shop) -> Standby:
    """The one that is, as the only replica."""
    shop.environment["REPLICA_URLS"] = shop.cluster.replicas[1].url(DATABASE)
    return shop.cluster.replicas[1]


@contextmanager
def configured(server: PostgreSQL, name: str, value: str) -> Iterator[None]:
    """A server with another value of a setting, for the block."""
    before = ask(server, f"SELECT current_setting('{name}')")
    configure(server, name, value)
    try:
        yield
    finally:
        configure(server, name, before)


def configure(server: PostgreSQL, name: str, value: str) -> None:
    quoted = value.replace("'", "''")
    server.execute(f"ALTER SYSTEM SET {name} = '{quoted}'")
    server.execute("SELECT pg_reload_conf()")


def loads(shop: Shop, clients: int = CLIENTS, seconds: float = 6) -> tuple[Load, Load]:
    """The same with the documentation's router, and with ours."""
    with shop.served("uvicorn", "docs") as address, Load(shop, address, clients, views="a") as docs:
        docs.during("the documentation's router", 2)
    with shop.served("uvicorn", "ours") as address, Load(shop, address, clients, views="a") as ours:
        ours.during("ours", seconds)
    return docs, ours


def test_forty_async_clients_read_their_own_writes_while_the_standby_is_late(shop: Shop, late: Standby) -> None:
    docs, ours = loads(shop)

    assert docs.wrong_reads
    assert ours.wrong_reads == []
    assert ours.failed_reads == []
    assert ours.read_from(late, OWN) > 0, "who wrote is kept on the primary for ever"


def test_they_do_so_where_one_alias_leads_to_several_standbys(shop: Shop) -> None:
    """What one of them has replayed says nothing of the other, to which the next connection may lead."""
    prompt, late = shop.cluster.replicas
    shop.environment["REPLICA_URLS"] = (
        f"postgres://{USER}:{PASSWORD}@{prompt.address},{late.address}/{DATABASE}?load_balance_hosts=random"
    )
    docs, ours = loads(shop)

    assert docs.wrong_reads
    assert ours.wrong_reads == []
    assert ours.failed_reads == []
    for replica in shop.cluster.replicas:
        assert ours.read_from(replica, OWN) > 0


def test_they_do_so_where_commits_wait_for_nothing(shop: Shop, prompt: Standby) -> None:
    """What the primary has *written* to its log is behind a client's own commit then, here by up to a second."""
    shop.environment["DATABASE_URL"] += ASYNCHRONOUS
    with configured(shop.cluster.primary, "wal_writer_delay", "1s"):
        docs, ours = loads(shop)

    assert docs.wrong_reads
    assert ours.wrong_reads == []
    assert ours.failed_reads == []
    assert ours.read_from(prompt, OWN) > 0


def test_a_position_on_another_cluster_means_nothing(shop: Shop) -> None:
    """As if the site moved to other servers, and a replica did not: it is further, and has none of the new rows."""
    with postgresql_cluster() as other:
        elsewhere = Shop(shop.project, other, shop.record)
        elsewhere.prepare()
        [replica, _] = other.replicas
        while position(other.primary) < 2 * position(shop.cluster.primary):
            other.primary.execute("SELECT pg_logical_emit_message(false, 'load', repeat('x', 10000000))")
        replica.catch_up()
        shop.environment["REPLICA_URLS"] = replica.url(DATABASE)
        docs, ours = loads(shop, clients=4, seconds=2)

    assert docs.wrong_reads
    assert ours.wrong_reads == []
    assert ours.failed_reads == []


def position(server: PostgreSQL) -> int:
    [(number,)] = server.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
    return int(number)


@pytest.mark.parametrize(("settings", "status"), [("docs", 500), ("ours", 200)])
def test_a_read_that_the_standby_cancels_is_answered(shop: Shop, prompt: Standby, settings: str, status: int) -> None:
    """The primary removes rows that the read could see, and this standby waits for nobody."""
    primary = shop.cluster.primary
    primary.execute("INSERT INTO catalogue_category (name, slug) VALUES ('Old', 'old')", database=DATABASE)
    prompt.catch_up()
    logged = prompt.log.stat().st_size
    with (
        configured(prompt, "max_standby_streaming_delay", "0"),
        shop.served(settings=settings) as address,
        ThreadPoolExecutor() as pool,
    ):
        headers = {"Host": "localhost"}
        answer = pool.submit(httpx.get, f"{address}/read-slowly/", headers=headers, timeout=TIMEOUT)
        prompt.wait_until(lambda: is_read_slowly(prompt), "read slowly")
        primary.execute("DELETE FROM catalogue_category WHERE slug = 'old'", database=DATABASE)
        primary.execute("VACUUM catalogue_category", database=DATABASE)
        response = answer.result()

    assert response.status_code == status
    assert b"canceling statement due to conflict with recovery" in prompt.log.read_bytes()[logged:]


def is_read_slowly(server: PostgreSQL) -> bool:
    """Whether it sleeps in a read by now."""
    return server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == [(1,)]


def test_a_standby_is_late_by_what_the_primary_has_and_not_by_its_own_word(shop: Shop, prompt: Standby) -> None:
    """By the time of what it replayed last it is late when the primary is idle; by what it received it never is."""
    shop.environment["REPLICA_MAX_LAG_SECONDS"] = "1"
    with shop.served() as address, Load(shop, address, writers=0, readers=4) as load:
        load.during("primary idle", 4)
        assert ask(prompt, "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp()) > 2")
        load.during("still idle", 2)
        with configured(prompt, "primary_conninfo", ""):
            prompt.wait_until(lambda: not prompt.execute("SELECT FROM pg_stat_wal_receiver"), "lose its primary")
            load.during("primary lost", 5, lambda: shop.cluster.primary.execute("CREATE TABLE news ()"))
            assert ask(prompt, "SELECT pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()")
            load.during("and noticed", 3)
        load.during("found again", 10, prompt.catch_up)
        load.during("and noticed, too", 2)

    assert load.failed_reads == []
    for phase, is_read in {"still idle": True, "and noticed": False, "and noticed, too": True}.items():
        assert (load.read_from(prompt, OTHERS, phase=phase) > 0) is is_read


def ask(server: PostgreSQL, question: str) -> Any:
    [(answer,)] = server.execute(question)
    return answer
