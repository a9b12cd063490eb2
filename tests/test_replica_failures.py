"""Clients write and read while replicas die, stand still and take over: no read fails, and none misses a write.

The same load on the router of Django's documentation shows that both would be seen.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from load import CLIENTS, DATABASE, OTHERS, OWN, READS, WRITE, Load, Shop
from servers import ADMIN, PASSWORD, USER, Cluster, Standby, mariadb_cluster, postgresql_cluster

pytestmark = pytest.mark.once

WRITERS, READERS = 12, CLIENTS - 12
CLUSTERS = {"postgresql": postgresql_cluster, "mysql": mariadb_cluster}
Record = Callable[[str, object], None]


def on(engine: str, *arguments: object, group: str = "") -> object:
    """A case with servers of its own, which no other test has to share a worker with."""
    return pytest.param(engine, *arguments, marks=pytest.mark.xdist_group(f"load-{group or engine}"))


@pytest.fixture
def shop(engine: str, fresh: Callable[..., Path]) -> Iterator[Shop]:
    project = fresh(topology="primary-replica", database_engine=engine)
    with CLUSTERS[engine]() as cluster:
        shop = Shop(project, cluster)
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
    shop: Shop, server: str, second: float, record_property: Record
) -> None:
    """One minute, where a ``second`` is one."""
    cluster, first, last = shop.cluster, shop.cluster.replicas[0], shop.cluster.replicas[-1]
    with shop.served(server) as address, Load(address, WRITERS, READERS, "a" * (server == "uvicorn")) as load:
        load.during("all is well", 8 * second)
        load.during("one killed", 8 * second, first.kill)
        load.during("back", 6 * second, first.start)
        load.during("one paused", 8 * second, first.pause)
        load.during("resumed", 6 * second, first.resume)
        load.during("all killed", 4 * second, *(replica.kill for replica in cluster.replicas))
        load.during("all back", 6 * second, *(replica.start for replica in cluster.replicas))
        load.during("one promoted", 4 * second + 2, last.promote)
        load.during("and noticed", 8 * second)
    record_property("figures", load.figures(cluster))

    assert load.wrong_reads == []
    assert load.failed_reads == []
    assert load.failed_writes == []
    assert set(load.written) <= shop.rows_on(cluster.primary)
    for replica in cluster.replicas:
        assert load.read_from(replica, OTHERS, phase="all is well") > 0
    assert load.read_from(first, OWN, phase="all is well") > 0, "who wrote is kept on the primary for too long"
    assert load.read_from(last, phase="and noticed") == 0


@pytest.mark.parametrize("engine", [on("postgresql"), on("mysql")])
def test_with_the_router_of_the_documentation_reads_fail_and_miss_writes(shop: Shop, record_property: Record) -> None:
    replica = shop.cluster.replicas[0]
    with shop.served(settings="docs") as address, Load(address, WRITERS, READERS) as load:
        load.during("all is well", 1)
        load.during("one paused", 2, replica.pause)
        load.during("and killed", 2, replica.kill)
    record_property("figures", load.figures(shop.cluster))

    assert load.wrong_reads
    assert load.failed_reads


@pytest.mark.parametrize("engine", [on("postgresql"), on("mysql")])
def test_a_frozen_replica_holds_up_those_who_are_connected(shop: Shop, record_property: Record) -> None:
    """It neither answers nor refuses. Nobody is told anything wrong, and afterwards it is as before."""
    replica = shop.cluster.replicas[0]
    with shop.served() as address, Load(address, WRITERS, READERS) as load:
        load.during("all is well", 3)
        try:
            load.during("one frozen", 12, replica.freeze)
        finally:
            replica.thaw()
        load.during("thawed", 6)
        load.during("as before", 3)
    record_property("figures", load.figures(shop.cluster))

    assert load.wrong_reads == []
    assert [answer for answer in load.failed_reads if answer.phase == "as before"] == []


@pytest.mark.parametrize("engine", [on("postgresql", group="failover")])
def test_a_standby_that_is_promoted_gets_the_writes_without_a_restart(shop: Shop, record_property: Record) -> None:
    """Every commit waits for both standbys, so none is lost. Which of them takes over is the further one's luck."""
    cluster, primary = shop.cluster, shop.cluster.primary
    hosts = ",".join(server.address for server in (primary, *cluster.replicas))
    shop.environment["DATABASE_URL"] = (
        f"postgres://{USER}:{PASSWORD}@{hosts}/{DATABASE}?target_session_attrs=read-write"
    )
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '2 (*)'")
    primary.execute("SELECT pg_reload_conf()")
    with shop.served() as address, Load(address, WRITERS, READERS) as load:
        load.during("all is well", 4)
        load.during("primary killed", 3, primary.kill)
        promoted, other = sorted(cluster.replicas, key=received, reverse=True)
        load.during("standby promoted", 6, promoted.promote)
        load.during("and used", 4)
        load.during("other follows", 6, lambda: follow(other, promoted))
    figures = [load.figures(cluster), *map(load.outage, (WRITE, OWN, OTHERS))]
    record_property("figures", "\n".join(figures))

    assert load.wrong_reads == []
    for phase in ("and used", "other follows"):
        assert load.of(WRITE, phase=phase)
        assert [answer for answer in load.of(WRITE, *READS, phase=phase) if answer.is_failed] == []
    assert set(load.written) <= shop.rows_on(promoted)
    assert load.read_from(other, OTHERS, phase="other follows") > 0


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
