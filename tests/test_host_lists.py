"""PostgreSQL's lists of hosts: a primary that fails over, and several standbys behind one alias."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import Combination
from conftest import Bake
from processes import free_port, manage, serving
from servers import PASSWORD, USER, Cluster, Server, postgresql_cluster
from test_http import Customer

pytestmark = [pytest.mark.xdist_group("host lists"), pytest.mark.once]
VARIANT = Combination("primary-replica", "postgresql", "database")
NAME = "listed"
GUNICORN = (sys.executable, "-m", "gunicorn", "config.wsgi:application", "--workers", "1", "--threads", "1")
MARKERS = itertools.count(40)  # quantities that the demo data has not


def url_of(servers: list[Server], query: str) -> str:
    hosts = ",".join(server.address for server in servers)
    return f"postgres://{USER}:{PASSWORD}@{hosts}/{NAME}?{query}"


def environment_of(cluster: Cluster) -> dict[str, str]:
    """The same list twice: each alias finds the servers that it is for."""
    servers = [cluster.primary, *cluster.replicas]
    return {
        "DATABASE_URL": url_of(servers, "target_session_attrs=read-write"),
        "REPLICA_URLS": url_of(servers, "target_session_attrs=prefer-standby&load_balance_hosts=random"),
        "DATABASE_ADMIN_URL": "",
        "REPLICA_CHECK_SECONDS": "0",  # a thread that watches them would have connections of its own
    }


@pytest.fixture(scope="module")
def cluster(baked: Bake) -> Iterator[Cluster]:
    """With a project's database on all its servers. The last test takes its primary away."""
    with postgresql_cluster() as cluster:
        manage(baked(VARIANT), "bootstrap", **environment_of(cluster))
        for replica in cluster.replicas:
            replica.catch_up()
        yield cluster


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


@pytest.fixture
def customer(baked: Bake, cluster: Cluster, log: Path) -> Iterator[Customer]:
    """Served by a single process, which keeps its connections."""
    port = free_port()
    command = [*GUNICORN, "--bind", f"127.0.0.1:{port}"]
    with serving(baked(VARIANT), command, port, log, **environment_of(cluster)) as address:
        yield Customer(address, "localhost").log_in()


def sessions(server: Server) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = %s"
    [(number,)] = server.execute(query, NAME, USER)
    return number


def orderable(customer: Customer) -> str:
    return next(product["slug"] for product in customer.products()["products"] if product["is_orderable"])


def lines(server: Server, marker: int) -> int:
    [(number,)] = server.execute("SELECT count(*) FROM orders_orderline WHERE quantity = %s", marker, database=NAME)
    return number


def test_who_wrote_sees_it_whichever_of_an_aliass_standbys_answers(cluster: Cluster, customer: Customer) -> None:
    """One of the two has stopped, so that all it shows is old."""
    prompt, stopped = cluster.replicas
    product, marker = orderable(customer), next(MARKERS)
    stopped.catch_up()
    stopped.pause()
    connected: set[str] = set()
    for number in range(1, 17):
        customer.place_order(product, marker)
        prompt.catch_up()
        for _ in range(3):
            assert customer.quantities_ordered().count(marker) == number
        connected.update(server.name for server in cluster.replicas if sessions(server))
        for server in cluster.replicas:  # the next round may be about another
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", USER)
    assert connected == {prompt.name, stopped.name}
    assert (lines(stopped, marker), lines(prompt, marker)) == (0, 16)
    stopped.resume()


def test_a_process_goes_on_writing_when_a_standby_has_become_the_primary(
    cluster: Cluster, customer: Customer, log: Path
) -> None:
    """The first host of the list stays dead, and the second a standby."""
    product, marker = orderable(customer), next(MARKERS)
    customer.place_order(product, marker)
    heir = cluster.replicas[-1]
    heir.catch_up()
    assert sessions(cluster.primary) == 1, "the connection wasn't kept"
    cluster.primary.kill()
    heir.promote()

    customer.place_order(product, marker)

    assert customer.quantities_ordered().count(marker) == 2
    assert lines(heir, marker) == 2
    assert log.read_text("utf-8").count("Booting worker") == 1
