"""Tests work for the tenant acme, beside another called globex; ``@pytest.mark.no_tenant`` starts with none.

Their databases are made once, and rolled back after each test. ``make_tenant`` makes more of them, for one test.
"""

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch
from uuid import NAMESPACE_DNS, uuid5

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import AsyncClient, Client, SimpleTestCase, TransactionTestCase

import config.databases
from config import engine
from dbrouting.aliases import is_listed, let_go
from dbrouting.per_tenant.raw_sql import sql_on_any_site
from dbrouting.site_cache import outage, sites
from dbrouting.tenant_context import CurrentTenant, shared_context, tenant_context
from dbrouting.tenant_names import alias_of
from tenants.migrating.state import records_of_new
from tenants.models import Domain, Tenant
from tenants.places import drop_place
from tenants.places.isolation import kind_of_place
from tenants.services import create_tenant, default_host

pytest_plugins = ["dbrouting.pytest_plugin"]

# On MySQL the project's user may make only what is called so; processes that test at once share the server.
TEST_PREFIX = f"test_{config.databases.TENANT_DATABASE_PREFIX}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"

ACME, GLOBEX = (CurrentTenant(str(uuid5(NAMESPACE_DNS, name)), name, alias_of(name)) for name in ("acme", "globex"))


def pytest_configure(config: pytest.Config) -> None:
    """List the tenants' aliases, so that test databases are made for them and tests are rolled back there too."""
    config.addinivalue_line("markers", "no_tenant: the test starts without an active tenant")
    for tenant in (ACME, GLOBEX):
        listed = connections.settings[tenant.alias] = copy.deepcopy(connections.settings[tenant.alias])
        if connections[tenant.alias].vendor == "sqlite":
            listed["TEST"]["NAME"] = ":memory:"  # as it is anyway; pytest-xdist takes our backend for a server's


@pytest.fixture(autouse=True)
def _tenants_are_met_anew() -> Iterator[None]:
    """A connection keeps the settings it was made with, and so the database's name: the next test's may differ."""
    met: set[str] = set()
    create = connections.create_connection

    def note(alias: str) -> BaseDatabaseWrapper:
        met.add(alias)
        return create(alias)

    with patch.object(connections, "create_connection", note):
        yield
    for alias in met:
        if not is_listed(alias) and alias in connections.settings:
            let_go(alias)
            del connections[alias]


@pytest.fixture(autouse=True)
def _work_for_acme(request: pytest.FixtureRequest) -> Iterator[None]:
    sites.clear()
    outage.end()
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        for tenant in (ACME, GLOBEX):
            is_served = {"id": tenant.id, "state": Tenant.State.ACTIVE, "migrations": records_of_new()}
            row, _ = Tenant.objects.get_or_create(name=tenant.name, defaults=is_served)
            Domain.objects.get_or_create(host=f"{tenant.name}.localhost", tenant=row)
    if isinstance(request.instance, TransactionTestCase):  # it leaves every database as it was
        instance: Any = request.instance
        instance._fixture_teardown = sql_on_any_site()(instance._fixture_teardown)
    with nullcontext() if request.node.get_closest_marker("no_tenant") else tenant_context(ACME):
        yield


@pytest.fixture(autouse=True, scope="class")
def _work_for_acme_in_the_set_up_of_a_class(request: pytest.FixtureRequest) -> Iterator[None]:
    is_test_case = request.cls is not None and issubclass(request.cls, SimpleTestCase)
    with tenant_context(ACME) if is_test_case else nullcontext():
        yield


@pytest.fixture
def every_database() -> Iterator[None]:
    """Working for acme doesn't keep the test from querying globex's."""
    with sql_on_any_site():
        yield


@pytest.fixture
def acme() -> CurrentTenant:
    return ACME


@pytest.fixture
def globex() -> CurrentTenant:
    return GLOBEX


@pytest.fixture
def tenant(acme: CurrentTenant) -> CurrentTenant:
    """The one that the test works for."""
    return acme


@pytest.fixture(scope="session")
def room(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Settings with which tenants are made beside the project's own databases, and those of tests that run at once."""
    is_file = "sqlite" in engine.ENGINE
    folder = tmp_path_factory.mktemp("tenants")
    name = str(folder / "any.sqlite3") if is_file else connections[ACME.alias].settings_dict["NAME"]
    server = {**config.databases.TENANT_SERVER, "CONN_MAX_AGE": 0, "NAME": name}
    settings: dict[str, Any] = {"TENANT_SERVER": server, "TENANT_DATABASE_PREFIX": TEST_PREFIX}
    yield settings
    with patch.multiple(config.databases, **settings), django_db_blocker.unblock():
        kind_of_place().remove_outdated(connections["tenant_initech"], fingerprint="")


@pytest.fixture
def room_for_tenants(room: dict[str, Any]) -> Iterator[None]:
    """Tenants may be made: the first one's migrations are the blueprint of the others, in this test and the next."""
    with patch.multiple(config.databases, **room):
        yield


@pytest.fixture
def make_tenant(db: None, room_for_tenants: None) -> Iterator[Callable[..., CurrentTenant]]:
    """Makes a tenant with a name, and hosts if need be, that is gone after the test: ``make_tenant("initech")``."""
    made: list[str] = []

    def make(name: str, *hosts: str) -> CurrentTenant:
        with shared_context(switch=True):
            tenant = CurrentTenant.of(create_tenant(name, *hosts))
        made.append(tenant.alias)
        return tenant

    yield make
    for alias in made:
        let_go(alias)
        drop_place(alias)


@pytest.fixture
def tenant_client(tenant: CurrentTenant) -> Client:
    """A browser on the site of the tenant that the test works for."""
    return Client(headers={"host": default_host(tenant.name)})


@pytest.fixture
def async_tenant_client(tenant: CurrentTenant) -> AsyncClient:
    """The same, for asynchronous views."""
    return AsyncClientOf(default_host(tenant.name))


@pytest.fixture
def site_client(tenant_client: Client) -> Client:
    """What tests call it that don't know of tenants."""
    return tenant_client


@pytest.fixture
def async_site_client(async_tenant_client: AsyncClient) -> AsyncClient:
    return async_tenant_client


class AsyncClientOf(AsyncClient):
    """A browser on ``host``: Django's adds a host to its own one instead of replacing it."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host

    async def request(self, **request: Any) -> Any:
        others = [(name, value) for name, value in request["headers"] if name != b"host"]
        return await super().request(**{**request, "headers": [*others, (b"host", self.host.encode())]})


@pytest.fixture
def places(room_for_tenants: None) -> Iterator[tuple[str, str]]:
    """Two aliases that lead nowhere yet; what they lead to is gone after the test."""
    aliases = ("tenant_initech", "tenant_umbrella")
    yield aliases
    for alias in aliases:
        drop_place(alias)
