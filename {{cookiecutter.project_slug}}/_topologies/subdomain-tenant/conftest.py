"""Tests work for the tenant acme, beside another called globex; ``@pytest.mark.no_tenant`` starts with none."""

import copy
import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch
from uuid import NAMESPACE_DNS, uuid5

import pytest
from django.db import connections
from django.test import AsyncClient, Client, SimpleTestCase

import config.databases
from config import engine
from dbrouting.site_cache import sites
from dbrouting.tenant_context import CurrentTenant, tenant_context
from dbrouting.tenant_names import alias_of
from tenants.isolated_places import kind_of_place
from tenants.models import Domain, Tenant
from tenants.places import drop_place

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
    with nullcontext() if request.node.get_closest_marker("no_tenant") else tenant_context(ACME):
        yield


@pytest.fixture(autouse=True, scope="class")
def _work_for_acme_in_the_set_up_of_a_class(request: pytest.FixtureRequest) -> Iterator[None]:
    is_test_case = request.cls is not None and issubclass(request.cls, SimpleTestCase)
    with tenant_context(ACME) if is_test_case else nullcontext():
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


class AcmeAsyncClient(AsyncClient):
    """Django's adds a host to its own one instead of replacing it."""

    async def request(self, **request: Any) -> Any:
        others = [(name, value) for name, value in request["headers"] if name != b"host"]
        return await super().request(**{**request, "headers": [*others, (b"host", b"acme.localhost")]})


@pytest.fixture
def async_site_client() -> AsyncClient:
    """The same, for asynchronous views."""
    return AcmeAsyncClient()


@pytest.fixture(scope="session")
def room_for_places(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Where tests make tenants' places: beside the project's own databases. Their blueprint is made once."""
    server = connections[ACME.alias].settings_dict["NAME"]
    room: dict[str, Any] = {
        "TENANT_SERVER": {
            **config.databases.TENANT_SERVER,
            "CONN_MAX_AGE": 0,
            "NAME": str(tmp_path_factory.mktemp("places") / "any.sqlite3") if "sqlite" in engine.ENGINE else server,
        },
        # On MySQL the project's user may make only what is called so; processes that test at once share the server.
        "TENANT_DATABASE_PREFIX": "_".join(
            ["test", config.databases.TENANT_DATABASE_PREFIX, os.environ.get("PYTEST_XDIST_WORKER", "main")]
        ),
    }
    yield room
    with patch.multiple(config.databases, **room), django_db_blocker.unblock():
        kind_of_place().remove_outdated(connections["tenant_initech"], fingerprint="")


@pytest.fixture
def places(room_for_places: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Two aliases that lead nowhere yet; what they lead to is gone after the test."""
    with patch.multiple(config.databases, **room_for_places):
        aliases = ("tenant_initech", "tenant_umbrella")
        yield aliases
        for alias in aliases:
            drop_place(alias)
            del connections[alias]
