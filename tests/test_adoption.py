"""docs/adopting.md, done word for word to a project that has been in use for years."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from baking import COMBINATIONS, SQLITE, TEMPLATE, Combination, variants
from conftest import DatabasesOf
from databases import Databases, OnServers, Place, Rows
from processes import free_port, run, serving
from recipes import Recipe

pytestmark = pytest.mark.once

OLD_PROJECT = Path(__file__).parent / "old_project"
PAGE = (TEMPLATE / "docs" / "adopting.md").read_text("utf-8")
GENERATE = "uvx cookiecutter gh:org/multidb-template"

# How the settings of the old project name its database, and how they would on a server.
ON_SQLITE = """\
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(BASE_DIR, "db.sqlite3"),
    }
}
"""
ON_A_SERVER = """\
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.{engine}",
        "NAME": "{name}",
        "USER": "{url.username}",
        "PASSWORD": "{url.password}",
        "HOST": "{url.hostname}",
        "PORT": "{url.port}",
    }}
}}
"""
# The databases that there will be; the tests' servers tell the rest of the URLs.
NAMES_ON_A_SERVER = {
    "app-split": "DATABASE_URL=server://server/old\nORDERS_DATABASE_URL=server://server/orders\n",
    "primary-replica": "DATABASE_URL=server://server/old\nREPLICA_URLS=server://server/old\n",
}
# Of eight orders the last two were deleted. SQLite has forgotten them when a migration has changed the table.
NEXT_ORDER = {"sqlite": 7, "postgresql": 9, "mysql": 9}
BOOKKEEPING = ["django_migrations", "django_content_type", "auth_permission"]
ORDER_TABLES = ["orders_label", "orders_order", "orders_order_labels", "orders_orderline"]


class Shop:
    """The old project in a folder of its own, its databases, and someone who is logged in."""

    def __init__(self, folder: Path, template: Path, combination: Combination, databases: DatabasesOf) -> None:
        self.folder = folder
        self.template = template
        self.engine = combination.database_engine
        self.browser = httpx.Client(timeout=30)
        self.page = PAGE.replace("topology=app-split", f"topology={combination.topology}")
        self.pages = ("", "")  # what a visitor saw before
        shutil.copytree(OLD_PROJECT, folder)
        if self.engine != "sqlite":
            (folder / ".env").write_text(NAMES_ON_A_SERVER[combination.topology])
        self.databases: Databases = databases(folder, combination, "adopted_")
        self.environment = self.databases.environment
        if isinstance(self.databases, OnServers):
            self.move_to(self.databases)

    def move_to(self, databases: OnServers) -> None:
        """The project has always been on a server."""
        url = urlsplit(databases.environment["DATABASE_URL"])
        name = url.path.removeprefix("/")
        databases.cluster.primary.execute(f"CREATE DATABASE {name}")
        if self.engine == "postgresql":
            databases.cluster.primary.execute(f"ALTER DATABASE {name} OWNER TO {url.username}")
        settings = self.folder / "mysite" / "settings.py"
        written = ON_A_SERVER.format(engine=self.engine, url=url, name=name)
        settings.write_text(settings.read_text("utf-8").replace(ON_SQLITE, written), "utf-8")
        self.page = self.page.replace(removed(ON_SQLITE), removed(written))
        if self.engine == "mysql":
            driver = self.folder / "mysite" / "__init__.py"
            driver.write_text("import pymysql\n\npymysql.install_as_MySQLdb()\n", "utf-8")

    def type(self, command: str) -> str:
        command = command.replace(GENERATE, f"python -m cookiecutter {self.template}")
        command = command.replace("database_engine=sqlite", f"database_engine={self.engine}")
        return run(self.folder, "bash", "-euo", "pipefail", "-c", command, **self.environment)

    @property
    def old(self) -> Place:
        if isinstance(self.databases, OnServers):
            return self.databases.place_of("DATABASE_URL")
        return Place(str(self.folder / "db.sqlite3"))  # before there is an .env that says so

    def follow(self, *headings: str) -> None:
        for heading in headings:
            Recipe(self.page).follow(heading, self.folder, self.type)

    def rows(self, place: Place, tables: list[str]) -> dict[str, Rows]:
        return {table: sorted(self.databases.rows(place, table), key=lambda row: row["id"]) for table in tables}

    @contextmanager
    def open(self) -> Iterator[Callable[..., httpx.Response]]:
        """A way to ask for its pages, while it runs as it would in production."""
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "mysite.wsgi", "--bind", f"127.0.0.1:{port}"]
        log = self.folder.parent / "server.log"
        with serving(self.folder, command, port, log, **self.environment) as address:

            def ask(path: str, host: str = "first.localhost", **form: object) -> httpx.Response:
                headers = {"Host": host}
                response = self.browser.request("POST" if form else "GET", address + path, data=form, headers=headers)
                assert response.status_code in (200, 302), response.text
                return response

            yield ask

    def log_in(self, ask: Callable[..., httpx.Response]) -> None:
        ask("/accounts/login/")
        token = self.browser.cookies["csrftoken"]
        ask("/accounts/login/", username="bob", password="secret", csrfmiddlewaretoken=token)


def removed(text: str) -> str:
    return "".join(f"-{line}" for line in text.splitlines(keepends=True))


@pytest.fixture
def shop(tmp_path: Path, template: Path, databases: DatabasesOf, combination: Combination) -> Shop:
    """Years of rows, and a page that shows them."""
    shop = Shop(tmp_path / "shop", template, combination, databases)
    shop.type("python manage.py migrate --verbosity 0")
    shop.type("python manage.py shell < rows.py")
    with shop.open() as ask:
        shop.log_in(ask)
        shop.pages = pages_of(ask)
    return shop


def pages_of(ask: Callable[..., httpx.Response]) -> tuple[str, str]:
    return ask("/").text, ask("/report/").text


def on_every_engine(topology: str) -> pytest.MarkDecorator:
    return variants([combination for combination in COMBINATIONS if combination.topology == topology])


@on_every_engine("app-split")
def test_an_app_of_an_existing_project_gets_a_database_of_its_own(shop: Shop) -> None:
    before = shop.databases.content(shop.old)
    orders = shop.rows(shop.old, ORDER_TABLES)

    shop.follow("Copy the routing in", "Guard the old migrations", "app-split: begin with one database")

    assert shop.databases.content(shop.old) == before

    shop.follow("app-split: cut the relations", "app-split: squash the app's migrations")

    assert shop.rows(shop.old, ORDER_TABLES) == orders

    shop.follow("app-split: move the rows")

    new = shop.databases.place_of("ORDERS_DATABASE_URL")
    assert shop.rows(new, ORDER_TABLES) == orders
    assert not {*ORDER_TABLES} & {*shop.databases.tables(shop.old)}
    (sencha,) = shop.databases.rows(shop.old, "catalogue_product", "WHERE name = %s", "Sencha")
    with shop.open() as ask:
        assert pages_of(ask) == shop.pages
        ask("/place/", product=sencha["id"])  # bob is still logged in
        assert "Order 3 of bob: 1 x Sencha" in ask("/").text
    *_, placed = shop.rows(new, ["orders_order"])["orders_order"]
    assert placed["id"] == NEXT_ORDER[shop.engine]
    (sold,) = shop.databases.rows(shop.old, "catalogue_product", "WHERE name = %s", "Sencha")
    assert sold["sold"] == sencha["sold"] + 1


@on_every_engine("primary-replica")
def test_an_existing_project_reads_from_replicas(shop: Shop) -> None:
    before = shop.databases.content(shop.old)

    shop.follow("Copy the routing in", "Guard the old migrations", "primary-replica")

    assert shop.databases.content(shop.old) == before
    where = "from orders.models import Order; print(Order.objects.all().db)"
    assert shop.type(f"python manage.py shell --verbosity 0 -c '{where}'").split()[-1].startswith("replica")
    shop.databases.catch_up()
    with shop.open() as ask:
        assert pages_of(ask) == shop.pages
        ask("/place/", product=1)
        assert "Order 3 of bob: 1 x Sencha" in ask("/").text


@variants([combination for combination in SQLITE if combination.topology == "subdomain-tenant"])
def test_an_existing_project_becomes_the_first_tenant(shop: Shop) -> None:
    before = shop.databases.content(shop.old)

    shop.follow("Copy the routing in", "Guard the old migrations", "subdomain-tenant")

    after = shop.databases.content(shop.old)
    assert {table for table in before if before[table] != after[table]} == {*BOOKKEEPING, "sqlite_sequence"}
    assert all({*before[table]} < {*after[table]} for table in BOOKKEEPING)
    with shop.open() as ask:
        assert pages_of(ask) == shop.pages
        assert "ann" not in ask("/", host="second.localhost").text

    shop.follow("subdomain-tenant: a tenant like the others")

    assert shop.databases.content(Place(str(shop.folder / "tenant_first.sqlite3"))) == after
    assert "first.localhost" in shop.type("python manage.py list_tenants")
    with shop.open() as ask:
        assert pages_of(ask) == shop.pages
        shop.log_in(ask)
        ask("/place/", product=1)
        assert "Order 3 of bob: 1 x Sencha" in ask("/").text
