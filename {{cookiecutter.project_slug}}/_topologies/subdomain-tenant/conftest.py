"""Tests work for the tenant acme, beside another called globex; ``@pytest.mark.no_tenant`` starts with none."""

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from django.db import connections
from django.test import AsyncClient, Client, SimpleTestCase, TransactionTestCase

from dbrouting.per_tenant.raw_sql import sql_on_any_site
from dbrouting.site_cache import sites
from dbrouting.tenant_context import CurrentTenant, tenant_context
from dbrouting.tenant_names import alias_of
from tenants.models import Domain, Tenant

pytest_plugins = ["dbrouting.pytest_plugin"]

ACME, GLOBEX = (CurrentTenant(str(uuid5(NAMESPACE_DNS, name)), name, alias_of(name)) for name in ("acme", "globex"))


def pytest_configure(config: pytest.Config) -> None:
    """List the tenants' aliases, so that test databases are made for them and tests are rolled back there too."""
    config.addinivalue_line("markers", "no_tenant: the test starts without an active tenant")
    for tenant in (ACME, GLOBEX):
        connections.settings[tenant.alias] = copy.deepcopy(connections.settings[tenant.alias])


@pytest.fixture(autouse=True)
def _work_for_acme(request: pytest.FixtureRequest) -> Iterator[None]:
    sites.clear()
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        for tenant in (ACME, GLOBEX):
            is_active = {"id": tenant.id, "state": Tenant.State.ACTIVE}
            row, _ = Tenant.objects.get_or_create(name=tenant.name, defaults=is_active)
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
def site_client() -> Client:
    """A browser on acme's site."""
    return Client(headers={"host": "acme.localhost"})


class AsyncClientOf(AsyncClient):
    """A browser on ``host``: Django's adds a host to its own one instead of replacing it."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host

    async def request(self, **request: Any) -> Any:
        others = [(name, value) for name, value in request["headers"] if name != b"host"]
        return await super().request(**{**request, "headers": [*others, (b"host", self.host.encode())]})


@pytest.fixture
def async_site_client() -> AsyncClient:
    """The same, for asynchronous views."""
    return AsyncClientOf("acme.localhost")
