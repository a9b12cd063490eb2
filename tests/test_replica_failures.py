"""Clients write and read while replicas die, stand still and take over: no read fails, and none misses a write.

The same load on the router of Django's documentation shows that both would be seen.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from load import CLIENTS, DATABASE, OTHERS, OWN, READS, WRITE, Load, Shop
from servers import ADMIN, LATE_BY_MILLISECONDS, PASSWORD, USER, Standby, mariadb_cluster, postgresql_cluster

pytestmark = pytest.mark.once

READERS = 4
WRITERS = CLIENTS - READERS
CLUSTERS = {"postgresql": postgresql_cluster, "mysql": mariadb_cluster}


def on(engine: str, *arguments: object, group: str = "") -> Any:
    """A case for a worker that runs others of its kind only: they take long."""
    return pytest.param(engine, *arguments, marks=pytest.mark.xdist_group(f"load-{group or engine}"))


@pytest.fixture
def shop(engine: str, fresh: Callable[..., Path], record_property: Callable[[str, object], None]) -> Iterator[Shop]:
    """On servers of its own, which the test may leave as they are."""
    project = fresh(topology="primary-replica", database_engine=engine)
    with CLUSTERS[engine]() as cluster:
        shop = Shop(project, cluster, record_property)
        shop.prepare()
        yield shop


@pytest.mark.parametrize(
    ("engine", "server", "second"),
    [
        on("postgresql", "gunicorn", 1.0),
        on("postgresql", "uvicorn", 0.3, group="postgresql-uvicorn"),
        on("mysql", "gunicorn", 0.3),
    ],
)
def test_no_read_fails_or_misses_a_write_whatever_becomes_of_the_replicas(
    shop: Shop, server: str, second: float
) -> None:
    """One minute, where a ``second`` is one."""
    replicas = shop.cluster.replicas
    first, last = replicas[0], replicas[-1]
    with shop.served(server) as address:
        with Load(shop, address, WRITERS, READERS, "a" * (server == "uvicorn")) as load:
            load.during("all is well", 8 * second)
            for replica in replicas:
                load.until_read_from(replica, OTHERS)
            load.until_read_from(first, OWN)  # or who wrote would be kept on the primary
            load.during("one killed", 8 * second, first.kill)
            load.during("back", 6 * second, first.start)
            load.until_read_from(first)
            load.during("one paused", 8 * second, first.pause)
            load.during("resumed", 6 * second, first.resume)
            load.during("all killed", 4 * second, *(replica.kill for replica in replicas))
            load.during("all back", 6 * second, *(replica.start for replica in replicas))
            for replica in replicas:
                load.until_read_from(replica)
            load.during("one promoted", 4 * second + 2, last.promote)
            load.during("and noticed", 8 * second)

        assert load.wrong_reads == []
        assert load.failed_reads == []
        assert load.failed_writes == []
        assert load.read_from(last, phase="and noticed") == 0
        assert set(load.written) <= shop.rows_on(shop.cluster.primary)


@pytest.mark.parametrize("engine", [on("postgresql"), on("mysql")])
def test_with_the_router_of_the_documentation_reads_fail_and_miss_writes(shop: Shop) -> None:
    replica = shop.cluster.replicas[0]
    with shop.served(settings="docs") as address, Load(shop, address, WRITERS, READERS) as load:
        load.during("all is well", 1)
        load.during("one paused", 3, replica.pause)
        load.during("and killed", 2, replica.kill)

    assert load.wrong_reads
    assert load.failed_reads


@pytest.mark.parametrize("engine", [on("postgresql"), on("mysql")])
def test_a_frozen_replica_holds_up_those_who_read_it_and_misleads_nobody(shop: Shop) -> None:
    """Its connections stay open, and nothing answers: a driver waits. How long, is what the figures say."""
    replica = shop.cluster.replicas[0]
    with shop.served() as address:
        with Load(shop, address, WRITERS, READERS) as load:
            load.during("all is well", 2)
            load.until_read_from(replica)
            try:
                load.during("one frozen", 12, replica.freeze)
            finally:
                replica.thaw()
            load.during("thawed", 2)
            load.until_read_from(replica)

        assert load.wrong_reads == []
        assert load.failed_reads == []


@pytest.mark.parametrize("engine", [on("postgresql", group="failover")])
def test_a_standby_that_is_promoted_gets_the_writes_without_a_restart(shop: Shop) -> None:
    """Every commit waits for both standbys, so none is lost.

    The primary may die between a commit and the question for its position. Who wrote is pinned by time then, which must
    be longer than a standby is late.
    """
    primary = shop.cluster.primary
    shop.environment["PRIMARY_PIN_SECONDS"] = str(2 * LATE_BY_MILLISECONDS // 1000)
    hosts = ",".join(server.address for server in (primary, *shop.cluster.replicas))
    shop.environment["DATABASE_URL"] = (
        f"postgres://{USER}:{PASSWORD}@{hosts}/{DATABASE}?target_session_attrs=read-write"
    )
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '2 (*)'")
    primary.execute("SELECT pg_reload_conf()")
    with shop.served() as address:
        with Load(shop, address, WRITERS, READERS) as load:
            load.during("all is well", 4)
            load.during("primary killed", 3, primary.kill)
            promoted, other = sorted(shop.cluster.replicas, key=received, reverse=True)
            load.during("standby promoted", 6, promoted.promote)
            load.during("and used", 4)
            load.during("other follows", 4, lambda: follow(other, promoted))
            load.until_read_from(other, OTHERS)
        shop.record("figures", "\n".join(map(load.outage, (WRITE, OWN, OTHERS))))

        assert load.wrong_reads == []
        for phase in ("and used", "other follows"):
            assert load.of(WRITE, phase=phase)
            assert [answer for answer in load.of(WRITE, *READS, phase=phase) if answer.is_failed] == []
        assert set(load.written) <= shop.rows_on(promoted)


def received(standby: Standby) -> int:
    [(position,)] = standby.execute("SELECT pg_last_wal_receive_lsn() - '0/0'")
    return int(position)


def follow(standby: Standby, primary: Standby) -> None:
    """What a failover manager does with the standbys that were not promoted."""
    primary.execute("SELECT pg_create_physical_replication_slot(%s)", standby.name)
    source = f"host={primary.keeper.folder} port={primary.port} user={ADMIN}"
    standby.execute(f"ALTER SYSTEM SET primary_conninfo = '{source}'")
    standby.execute("SELECT pg_reload_conf()")
    standby.primary = primary
    standby.catch_up()
