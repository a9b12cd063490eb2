"""A baked project under real servers: 50 requests at once, then the rows are looked up in the databases."""

import itertools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from baking import COMBINATIONS, ENGINES, Combination, variants
from conftest import Bootstrapped
from databases import Databases, Place
from processes import free_port, serving, wait_until

AT_ONCE = 50
SESSIONS = 5
PROCESSES, THREADS, BUDGET = 2, 16, 20
SERVERS = {
    "gunicorn": "-m gunicorn config.wsgi:application --worker-class gthread "
    f"--workers {PROCESSES} --threads {THREADS} --bind {{address}}",
    "uvicorn": "-m uvicorn config.asgi:application --host {host} --port {port} --lifespan off",
}
# Quantities by which the rows that a test placed are told from all others, the demo data's smaller ones among them.
# A form takes 99 at most.
MARKERS = itertools.count(40)

Serve = Callable[[Path, Databases], AbstractContextManager[str]]


def serving_by(server: str, port: int) -> list[str]:
    """The command that starts one of SERVERS on this machine."""
    words = SERVERS[server].format(host="127.0.0.1", port=port, address=f"127.0.0.1:{port}")
    return [sys.executable, *words.split()]


def every(topology: str) -> pytest.MarkDecorator:
    """On each engine and in each isolation."""
    return variants([combination for combination in COMBINATIONS if combination.topology == topology])


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

    def without_the_pin(self) -> "Customer":
        """As a browser that dropped the cookie which a write has set."""
        self.browser.cookies.delete("primary_pin")
        return self

    def expect(self, status: int, response: httpx.Response) -> httpx.Response:
        assert response.status_code == status, (
            f"{response.request.method} {response.url} on {self.host} gave {response.status_code}, not {status}:\n"
            f"{response.text[:3000]}"
        )
        return response


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    @contextmanager
    def start(project: Path, databases: Databases) -> Iterator[str]:
        port = free_port()
        command = serving_by(request.param, port)
        with serving(project, command, port, tmp_path / "server.log", **databases.environment) as address:
            yield address

    return start


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


def ordered(databases: Databases, place: Place, marker: int) -> int:
    """How many orders of this marker are there."""
    return len(databases.rows(place, "orders_orderline", "WHERE quantity = %s", marker))


def most_connections(combination: Combination) -> int:
    """What the arithmetic of the READMEs gives for the primary, whatever is asked of the site."""
    if combination.topology == "subdomain-tenant":
        return PROCESSES * (THREADS + BUDGET)
    if combination.topology == "primary-replica":
        return PROCESSES * (THREADS + 1)
    return PROCESSES * THREADS * 3


def users(databases: Databases, place: Place) -> list[object]:
    return [row["username"] for row in databases.rows(place, "accounts_user")]


@every("app-split")
def test_app_split_keeps_an_order_and_its_customer_in_two_databases(
    serve: Serve, bootstrapped: Bootstrapped, combination: Combination
) -> None:
    project, databases = bootstrapped(combination)
    marker = next(MARKERS)
    variables = ("DATABASE_URL", "AUTH_DATABASE_URL", "ORDERS_DATABASE_URL")
    default, auth, orders = (databases.place_of(variable) for variable in variables)
    sessions_before = len(databases.rows(auth, "django_session"))
    with serve(project, databases) as address:
        customers = log_in_at_once(address, ["localhost"] * SESSIONS)
        placed, origins = visit_at_once(customers, {"localhost": marker})
        assert databases.sessions() <= most_connections(combination)
        assert customers[0].quantities_ordered().count(marker) == placed["localhost"]
    assert origins == {"localhost": {"default"}}
    assert ordered(databases, orders, marker) == placed["localhost"] > 0
    assert (ordered(databases, auth, marker), ordered(databases, default, marker)) == (0, 0)
    assert "demo" in users(databases, auth)
    assert (users(databases, orders), users(databases, default)) == ([], [])
    assert len(databases.rows(auth, "django_session")) == sessions_before + SESSIONS
    assert databases.rows(default, "django_session") == []


@variants([Combination("app-split", engine, "database") for engine in ENGINES if engine != "sqlite"])
@pytest.mark.parametrize("seconds", ["", "60"], ids=["as it is", "kept for a minute"])
def test_no_connection_outlives_its_request_under_asgi(
    bootstrapped: Bootstrapped, combination: Combination, seconds: str, tmp_path: Path
) -> None:
    """Kept ones are the control: the threads that could use them again have ended."""
    project, databases = bootstrapped(combination)
    port = free_port()
    changes = databases.environment | ({"DATABASE_CONN_MAX_AGE": seconds} if seconds else {})
    with serving(project, serving_by("uvicorn", port), port, tmp_path / "server.log", **changes) as address:
        customer = Customer(address, "localhost")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda _: customer.products(), range(AT_ONCE)))
        if seconds:
            assert databases.sessions() > 0
        else:
            wait_until(lambda: databases.sessions() == 0, "The sessions end")  # a moment after the answer


@every("primary-replica")
def test_primary_replica_writes_on_the_primary_and_reads_through_replicas(
    serve: Serve, bootstrapped: Bootstrapped, combination: Combination
) -> None:
    project, databases = bootstrapped(combination)
    marker = next(MARKERS)
    with serve(project, databases) as address:
        customers = log_in_at_once(address, ["localhost"] * SESSIONS)
        placed, _ = visit_at_once(customers, {"localhost": marker})
        assert databases.sessions() <= most_connections(combination)
        readers = [Customer(address, "localhost") for _ in range(SESSIONS)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pages = list(pool.map(lambda number: readers[number % SESSIONS].products(), range(AT_ONCE)))
        writer = customers[0]
        writer.place_order(pages[0]["products"][0]["slug"], marker)
        quantities = writer.quantities_ordered()
    origins = [page["databases"] for page in pages]
    assert all(len(databases) == 1 for databases in origins), "a page read two replicas"
    assert "default" not in set(itertools.chain(*origins)), "a reader who wrote nothing was sent to the primary"
    assert quantities.count(marker) == placed["localhost"] + 1, "who wrote did not see it"
    primary = databases.place_of("DATABASE_URL")
    assert ordered(databases, primary, marker) == placed["localhost"] + 1
    assert "demo" in users(databases, primary)


@every("primary-replica")
def test_who_wrote_reads_it_while_the_replicas_stand_still(
    serve: Serve, bootstrapped: Bootstrapped, combination: Combination
) -> None:
    """The same customer without the cookie is the control: what a replica answers is old."""
    project, databases = bootstrapped(combination)
    marker = next(MARKERS)
    with serve(project, databases) as address:
        writer, forgetful = log_in_at_once(address, ["localhost"] * 2)
        product = next(product["slug"] for product in writer.products()["products"] if product["is_orderable"])
        databases.catch_up()
        with databases.replicas_paused():
            for number in range(1, 4):
                writer.place_order(product, marker)
                assert writer.quantities_ordered().count(marker) == number
            assert forgetful.without_the_pin().quantities_ordered().count(marker) == (0 if databases.replicate else 3)
        databases.catch_up()
        assert forgetful.without_the_pin().quantities_ordered().count(marker) == 3


@every("subdomain-tenant")
def test_subdomain_tenants_see_nothing_of_each_other(
    serve: Serve, bootstrapped: Bootstrapped, combination: Combination
) -> None:
    project, databases = bootstrapped(combination)
    marker, other_marker = next(MARKERS), next(MARKERS)
    markers = {"acme.localhost": marker, "globex.localhost": other_marker}
    with serve(project, databases) as address:
        customers = log_in_at_once(address, [*markers] * SESSIONS)
        placed, origins = visit_at_once(customers, markers)
        assert databases.sessions() <= most_connections(combination)
        acme, globex = (customer.quantities_ordered() for customer in customers[:2])
        assert Customer(address, "unknown.localhost").browser.get("/").status_code == 404
    assert len(origins["acme.localhost"]) == len(origins["globex.localhost"]) == 1
    assert origins["acme.localhost"].isdisjoint(origins["globex.localhost"])
    assert (acme.count(marker), acme.count(other_marker)) == (placed["acme.localhost"], 0)
    assert (globex.count(marker), globex.count(other_marker)) == (0, placed["globex.localhost"])
    found = {
        place: (ordered(databases, place, marker), ordered(databases, place, other_marker))
        for place in databases.places()
    }
    holders = {place: counts for place, counts in found.items() if any(counts)}
    assert sorted(holders.values()) == [(0, placed["globex.localhost"]), (placed["acme.localhost"], 0)]
    for place, counts in holders.items():
        assert ("acme" in place.name, "globex" in place.name) == (bool(counts[0]), bool(counts[1]))
        assert "demo" in users(databases, place)
