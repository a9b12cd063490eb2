"""Tests work for the tenant acme, beside another called globex; ``@pytest.mark.no_tenant`` starts with none."""

from collections.abc import Generator, Iterator
from contextlib import nullcontext

import pytest
from django.db import connections
from django.test import AsyncClient, Client

from dbrouting.tenant_context import CurrentTenant, tenant_context
from dbrouting.tenant_names import alias_of
from tenants.models import Domain, Tenant

pytest_plugins = ["dbrouting.pytest_plugin"]

ACME, GLOBEX = (CurrentTenant(f"id of {name}", name, alias_of(name)) for name in ("acme", "globex"))


def pytest_configure(config: pytest.Config) -> None:
    """List the tenants' aliases, so that test databases are made for them and tests are rolled back there too."""
    config.addinivalue_line("markers", "no_tenant: the test starts without an active tenant")
    for tenant in (ACME, GLOBEX):
        connections.settings[tenant.alias] = connections.settings[tenant.alias]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules may ask the routers while they are imported."""
    with tenant_context(ACME):
        return (yield)


@pytest.fixture(autouse=True)
def _a_tenant_is_active(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        for tenant in (ACME, GLOBEX):
            row = Tenant.objects.create(name=tenant.name)
            Domain.objects.create(host=f"{tenant.name}.localhost", tenant=row)
    with nullcontext() if request.node.get_closest_marker("no_tenant") else tenant_context(ACME):
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


@pytest.fixture
def async_site_client() -> AsyncClient:
    """The same, for asynchronous views."""
    return AsyncClient(headers={"host": "acme.localhost"})
