"""A baked project under real servers: 50 requests at once, then the rows are looked up in the database files."""

import itertools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from processes import free_port, manage, serving
from rows import databases_in_env, rows, sqlite_files

AT_ONCE = 50
SESSIONS = 5
SERVERS = {
    "gunicorn": "-m gunicorn config.wsgi:application --worker-class gthread --workers 2 --threads 16 --bind {address}",
    "uvicorn": "-m uvicorn config.asgi:application --host {host} --port {port} --lifespan off",
}
# More than the demo data orders of anything, so that the rows a test placed are told from those.
MARKER, OTHER_MARKER = 77, 88

Serve = Callable[[Path], "contextmanager[str]"]


class Customer:
    """A browser's session with one host of the site."""

    def __init__(self, address: str, host: str) -> None:
        self.host = host
        self.browser = httpx.Client(
            base_url=address, headers={"Host": host}, timeout=60, limits=httpx.Limits(max_connections=AT_ONCE)
        )

    def log_in(self, username: str = "demo", password: str = "demo-password") -> "Customer":
        self.expect(200, self.browser.get("/accounts/login/"))
        form = {"username": username, "password": password}
        self.expect(302, self.post("/accounts/login/", form))
        return self

    def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        return self.browser.post(path, data=form, headers={"X-CSRFToken": self.browser.cookies["csrftoken"]})

    def products(self) -> dict[str, object]:
        return self.expect(200, self.browser.get("/api/products/")).json()

    def place_order(self, product: str, quantity: int) -> None:
        self.expect(302, self.post("/orders/place/", {"product": product, "quantity": str(quantity)}))

    def quantities_ordered(self) -> list[int]:
        """The cells of the orders page that hold a whole number."""
        page = self.expect(200, self.browser.get("/orders/")).text
        return [int(cell) for cell in re.findall(r"<td>(\d+)</td>", page)]

    def expect(self, status: int, response: httpx.Response) -> httpx.Response:
        assert response.status_code == status, (
            f"{response.request.method} {response.url} on {self.host} gave {response.status_code}, not {status}:\n"
            f"{response.text[:3000]}"
        )
        return response


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    @contextmanager
    def start(project: Path) -> Iterator[str]:
        port = free_port()
        words = SERVERS[request.param].format(host="127.0.0.1", port=port, address=f"127.0.0.1:{port}").split()
        with serving(project, [sys.executable, *words], port, tmp_path / "server.log") as address:
            yield address

    return start


@pytest.fixture
def bootstrapped(fresh: Callable[..., Path]) -> Callable[[str], Path]:
    def bootstrap(topology: str) -> Path:
        project = fresh(topology=topology, database_engine="sqlite")
        manage(project, "bootstrap")
        return project

    return bootstrap


def visit_at_once(customers: list[Customer], markers: dict[str, int]) -> tuple[Counter[str], dict[str, set[str]]]:
    """Place orders, list products and read one's orders, all at once and by all customers in turn.

    How many orders were placed on each host, and the databases that each host's products came from.
    """
    (product,) = itertools.islice((p["slug"] for p in customers[0].products()["products"] if p["is_orderable"]), 1)
    placed: Counter[str] = Counter()
    origins: dict[str, set[str]] = {customer.host: set() for customer in customers}

    def visit(number: int) -> None:
        customer = customers[number % len(customers)]
        match number // len(customers) % 3:
            case 0:
                customer.place_order(product, markers[customer.host])
                placed[customer.host] += 1
            case 1:
                origins[customer.host].update(customer.products()["databases"])
            case 2:
                customer.quantities_ordered()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(visit, range(AT_ONCE)))
    return placed, origins


def log_in_at_once(address: str, hosts: list[str]) -> list[Customer]:
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(lambda host: Customer(address, host).log_in(), hosts))


def ordered(database: Path, marker: int) -> int:
    """How many orders of this marker the file holds."""
    return len(
        rows(
            database,
            "SELECT o.id FROM orders_order o JOIN orders_orderline l ON l.order_id = o.id WHERE l.quantity = ?",
            marker,
        )
    )


def users(database: Path) -> list[object]:
    return [username for (username,) in rows(database, "SELECT username FROM accounts_user")]


@pytest.mark.xdist_group("http-app-split")
def test_app_split_keeps_an_order_and_its_customer_in_two_databases(
    serve: Serve, bootstrapped: Callable[[str], Path]
) -> None:
    project = bootstrapped("app-split")
    with serve(project) as address:
        customers = log_in_at_once(address, ["localhost"] * SESSIONS)
        placed, origins = visit_at_once(customers, {"localhost": MARKER})
        assert customers[0].quantities_ordered().count(MARKER) == placed["localhost"]
    files = databases_in_env(project)
    default, auth, orders = (files[name] for name in ("DATABASE_URL", "AUTH_DATABASE_URL", "ORDERS_DATABASE_URL"))
    assert origins == {"localhost": {"default"}}
    assert ordered(orders, MARKER) == placed["localhost"] > 0
    assert (ordered(auth, MARKER), ordered(default, MARKER)) == (0, 0)
    assert "demo" in users(auth)
    assert (users(orders), users(default)) == ([], [])
    assert len(rows(auth, "SELECT * FROM django_session")) == SESSIONS
    assert rows(default, "SELECT * FROM django_session") == []


@pytest.mark.xdist_group("http-primary-replica")
def test_primary_replica_writes_on_the_primary_and_reads_through_replicas(
    serve: Serve, bootstrapped: Callable[[str], Path]
) -> None:
    project = bootstrapped("primary-replica")
    with serve(project) as address:
        customers = log_in_at_once(address, ["localhost"] * SESSIONS)
        placed, _ = visit_at_once(customers, {"localhost": MARKER})
        readers = [Customer(address, "localhost") for _ in range(SESSIONS)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pages = list(pool.map(lambda number: readers[number % SESSIONS].products(), range(AT_ONCE)))
        writer = customers[0]
        writer.place_order(pages[0]["products"][0]["slug"], MARKER)
        after_a_write = writer.products()["databases"]
    origins = [page["databases"] for page in pages]
    assert all(len(databases) == 1 for databases in origins), "a page read two replicas"
    assert "default" not in set(itertools.chain(*origins)), "a reader who wrote nothing was sent to the primary"
    assert after_a_write == ["default"]
    primary = databases_in_env(project)["DATABASE_URL"]
    assert ordered(primary, MARKER) == placed["localhost"] + 1
    assert "demo" in users(primary)


@pytest.mark.xdist_group("http-subdomain-tenant")
def test_subdomain_tenants_see_nothing_of_each_other(serve: Serve, bootstrapped: Callable[[str], Path]) -> None:
    project = bootstrapped("subdomain-tenant")
    markers = {"acme.localhost": MARKER, "globex.localhost": OTHER_MARKER}
    with serve(project) as address:
        customers = log_in_at_once(address, [*markers] * SESSIONS)
        placed, origins = visit_at_once(customers, markers)
        acme, globex = (customer.quantities_ordered() for customer in customers[:2])
        assert Customer(address, "unknown.localhost").browser.get("/").status_code == 404
    assert len(origins["acme.localhost"]) == len(origins["globex.localhost"]) == 1
    assert origins["acme.localhost"].isdisjoint(origins["globex.localhost"])
    assert (acme.count(MARKER), acme.count(OTHER_MARKER)) == (placed["acme.localhost"], 0)
    assert (globex.count(MARKER), globex.count(OTHER_MARKER)) == (0, placed["globex.localhost"])
    found = {path: (ordered(path, MARKER), ordered(path, OTHER_MARKER)) for path in sqlite_files(project)}
    holders = {path: counts for path, counts in found.items() if any(counts)}
    assert sorted(holders.values()) == [(0, placed["globex.localhost"]), (placed["acme.localhost"], 0)]
    for path, counts in holders.items():
        assert ("acme" in path.name, "globex" in path.name) == (bool(counts[0]), bool(counts[1]))
        assert "demo" in users(path)
