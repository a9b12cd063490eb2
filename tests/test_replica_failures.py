"""Clients write and read while replicas die, stand still and take over: no read fails, and none misses a write.

The same load on the router of Django's documentation shows that both would be seen.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from load import CLIENTS, OTHERS, OWN, Load, Shop
from servers import Cluster, mariadb_cluster, postgresql_cluster

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
