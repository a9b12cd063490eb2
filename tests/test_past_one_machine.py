"""The apps of one project on servers of their own, behind PgBouncer, and one of them with a standby."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from baking import TEMPLATE, Combination
from conftest import bake_in
from processes import free_port, manage, run, serving
from pytest_cookies.plugin import Cookies
from recipes import Recipe
from servers import PgBouncer, PostgreSQL, Replica, postgresql_cluster
from test_http import Customer, serving_by
from test_variants import mypy_cache

pytestmark = [pytest.mark.xdist_group("pgbouncer"), pytest.mark.once]
STANDBY = 'read_only_database("orders_standby", "ORDERS_STANDBY_URL", copy_of="orders_db")'
# What crosses databases.
TESTS = ("test_outbox", "test_permissions", "test_transactions", "test_read_only")
GENERATE = "uvx cookiecutter gh:org/multidb-template"
# Of the suite, what knows the routers and the checks.
PYTEST = (
    "-m pytest -q -x -p no:cacheprovider tests/test_app_split.py tests/test_checks.py "
    "tests/test_routing_cases.py tests/test_reasons.py tests/test_show_routing.py"
)
QUANTITY = 41  # of which the demo data has no order
READ = """
from django.db import connections
from dbrouting.overrides import ReadOnlyOverrideError, in_database
from dbrouting.read_only import ReadOnlyDatabaseError
from orders.models import Order
with in_database("orders_standby"):
    print("orders:", Order.objects.count(), Order.objects.get(pk=Order.objects.first().pk)._state.db)
    try:
        Order.objects.first().delete()
    except ReadOnlyOverrideError:
        print("refused by the block")
try:
    Order.objects.using("orders_standby").update(status="placed")
except ReadOnlyDatabaseError:
    print("refused by the alias")
"""

# Outside of a request a process reads the primary from its first write on.
READ_AND_WRITE_INVOICES = """
from billing.models import Invoice
print(Invoice.objects.count(), Invoice.objects.first()._state.db)
Invoice.objects.create(order_id=1, amount=1)
print(Invoice.objects.count(), Invoice.objects.last()._state.db)
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PgBouncer, PgBouncer, Replica]]:
    """Pools in front of the orders' server and of the others', and the orders' standby."""
    with postgresql_cluster() as cluster:
        other = PostgreSQL(cluster.primary.keeper, "other", cluster.primary.binaries)
        other.create()
        pools = PgBouncer(cluster.primary), PgBouncer(other)
        for pool in pools:
            pool.create()
        yield *pools, cluster.replicas[0]


def test_each_app_has_a_server_behind_a_pool_and_reports_read_a_standby(
    fresh: Callable[..., Path], servers: tuple[PgBouncer, PgBouncer, Replica]
) -> None:
    orders, others, standby = servers
    project = fresh(**Combination("app-split", "postgresql", "database")._asdict())
    databases = project / "config" / "databases.py"
    text = databases.read_text("utf-8").replace(
        '        "default": ', f'        "orders_standby": {STANDBY},\n        "default": '
    )
    databases.write_text(f"from config.read_only import read_only_database\n{text}", "utf-8")
    variables = {
        "DATABASE_URL": f"{others.url('shop')}?pgbouncer=true",
        "AUTH_DATABASE_URL": f"{others.url('people')}?pgbouncer=true",
        "ORDERS_DATABASE_URL": f"{orders.url('sales')}?pgbouncer=true",
        "ORDERS_STANDBY_URL": standby.url("sales"),
        "DATABASE_ADMIN_URL": "",
    }

    manage(project, "bootstrap", **variables)
    standby.catch_up()

    assert {"shop", "people"} <= set(others.databases())
    assert "sales" not in others.databases()
    manage(project, "check_databases", **variables)
    output = manage(project, "shell", "--verbosity=0", "-c", READ, **variables)
    assert "orders_standby\nrefused by the block\nrefused by the alias" in output
    assert "orders: 0" not in output
    files = (f"tests/{name}.py" for name in TESTS)
    run(project, "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files, **variables)


class Followed(NamedTuple):
    """A project that was changed as the page about standbys says, and what each of its commands printed."""

    project: Path
    variables: dict[str, str]
    printed: dict[str, str]


@pytest.fixture(scope="module")
def followed(cookies_session: Cookies, template: Path, servers: tuple[PgBouncer, PgBouncer, Replica]) -> Followed:
    """The standby of the orders' server has no database of the users or the products."""
    orders, others, standby = servers
    project = bake_in(cookies_session, template, **Combination("app-split", "postgresql", "database")._asdict())
    variables = {
        "DATABASE_URL": f"{others.url('catalogue')}?pgbouncer=true",
        "AUTH_DATABASE_URL": f"{others.url('users')}?pgbouncer=true",
        "ORDERS_DATABASE_URL": f"{orders.url('orders')}?pgbouncer=true",
        "DATABASE_ADMIN_URL": "",
    }
    printed: dict[str, str] = {}

    def type_command(command: str) -> None:
        standby.catch_up()
        words = command.replace(GENERATE, f"python -m cookiecutter {template}").replace("-m pytest", PYTEST)
        printed[command] = run(project, "bash", "-euo", "pipefail", "-c", words, **variables)

    manage(project, "bootstrap", **variables)
    page = Recipe((TEMPLATE / "docs" / "reads_on_standbys.md").read_text("utf-8"))
    for heading in ("Take the modules over", "Say which database has replicas", "Try it without replicas"):
        page.follow(heading, project, type_command)
    variables["REPLICA_URLS"] = standby.url("orders")  # the page's own is no server's
    page.follow("Name the replicas", project, type_command)
    return Followed(project, variables, printed)


@pytest.fixture
def customer(followed: Followed, tmp_path: Path) -> Iterator[Customer]:
    project, variables, _ = followed
    port = free_port()
    with serving(project, serving_by("gunicorn", port), port, tmp_path / "server.log", **variables) as address:
        yield Customer(address, "localhost").log_in()


def test_the_page_about_standbys_leaves_a_project_that_passes_its_tools(followed: Followed) -> None:
    migrated = followed.printed["python manage.py migrate"]

    assert [name for name in ("auth_db", "default", "orders_db") if f"Database {name} (" not in migrated] == []
    assert "replica1" not in migrated
    run(followed.project, "python", "-m", "ruff", "check")
    run(followed.project, "python", "-m", "ruff", "format", "--check")
    run(followed.project, "python", "-m", "mypy", "--cache-dir", str(mypy_cache()), ".")


def test_the_orders_alone_are_read_on_the_standby_and_nobody_misses_their_own(
    customer: Customer, servers: tuple[PgBouncer, PgBouncer, Replica]
) -> None:
    *_, standby = servers
    product = next(one["slug"] for one in customer.products()["products"] if one["is_orderable"])
    assert origins_of_orders(customer) == {"auth_db", "replica1"}

    standby.pause()
    try:
        customer.place_order(product, QUANTITY)
        assert QUANTITY in customer.quantities_ordered()
        assert QUANTITY not in customer.without_the_pin().quantities_ordered()
    finally:
        standby.resume()


def test_the_orders_are_read_while_the_standby_is_down(
    customer: Customer, servers: tuple[PgBouncer, PgBouncer, Replica]
) -> None:
    *_, standby = servers
    before = customer.quantities_ordered()

    standby.kill()
    try:
        assert customer.quantities_ordered() == before != []
    finally:
        standby.start()


def test_an_app_moves_there_and_back_whatever_the_standby_has(
    followed: Followed, servers: tuple[PgBouncer, PgBouncer, Replica]
) -> None:
    """First it has nothing of the move, then the tables and the ledger as they were before the end."""
    project, variables, _ = followed
    *_, standby = servers
    switched = {**variables, "DATABASE_APPS_MAPPING": "billing=orders_db"}
    with paused(standby):
        manage(project, "move_app", "billing", "--to", "orders_db", **variables)
    with paused(standby):
        manage(project, "move_app", "billing", "--drop-source", "--no-input", **switched)
        seen = manage(project, "shell", "--verbosity=0", "-c", READ_AND_WRITE_INVOICES, **switched)
        manage(project, "move_app", "billing", "--to", "default", **switched)
    dropped = manage(project, "move_app", "billing", "--drop-source", "--no-input", **variables)
    seen_again = manage(project, "shell", "--verbosity=0", "-c", READ_AND_WRITE_INVOICES, **variables)

    (before, *there), (after, *here) = (map(str.split, text.splitlines()) for text in (seen, seen_again))
    count = int(before[0])
    assert (before, there) == ([str(count), "replica1"], [[str(count + 1), "orders_db"]])
    assert (after, here) == ([str(count + 1), "default"], [[str(count + 2), "default"]])
    assert "billing is on 'default' alone" in dropped


@contextmanager
def paused(standby: Replica) -> Iterator[None]:
    """While it lasts, the standby has what there was before."""
    standby.catch_up()
    standby.pause()
    try:
        yield
    finally:
        standby.resume()


def origins_of_orders(customer: Customer) -> set[str]:
    """The databases that the footer of the page names."""
    return set(re.findall(r"<dt><code>(\w+)</code>", customer.browser.get("/orders/").text))
