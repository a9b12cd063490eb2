"""Forty clients at once under ASGI, each of which reads what it wrote a moment ago, while the only replica is late."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from load import DATABASE, OWN, Load, Shop
from servers import Cluster, postgresql_cluster

pytestmark = [pytest.mark.once, pytest.mark.xdist_group("own writes")]

CLIENTS = 40
PROMPT, LATE = 0, 1
# Commits that nothing waits for: the position that is written is behind the client's own.
ASYNCHRONOUS = "?options=-c%20synchronous_commit%3Doff"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql_cluster() as cluster:
        yield cluster


@pytest.fixture
def shop(cluster: Cluster, fresh: Callable[..., Path]) -> Shop:
    shop = Shop(fresh(topology="primary-replica", database_engine="postgresql"), cluster)
    shop.prepare()
    return shop


@pytest.mark.parametrize(
    ("which", "query"), [(LATE, ""), (PROMPT, ASYNCHRONOUS)], ids=["late", "prompt, commits that nothing waits for"]
)
def test_forty_async_clients_read_their_own_writes(
    shop: Shop, which: int, query: str, record_property: Callable[[str, object], None]
) -> None:
    """With the router of the documentation they don't, so they would be seen not to."""
    replica = shop.cluster.replicas[which]
    shop.environment["REPLICA_URLS"] = replica.url(DATABASE)
    shop.environment["DATABASE_URL"] += query
    loads = {}
    for settings, seconds in {"docs": 2, "ours": 8}.items():
        with shop.served("uvicorn", settings) as address, Load(address, CLIENTS, views="a") as loads[settings]:
            loads[settings].during(settings, seconds)
    record_property("figures", "\n".join(load.figures(shop.cluster) for load in loads.values()))

    assert loads["docs"].wrong_reads
    assert loads["ours"].wrong_reads == []
    assert loads["ours"].failed_reads == []
    assert loads["ours"].read_from(replica, OWN) > 0, "who wrote is kept on the primary for too long"
