"""Every way to write a host, and whose site is there."""

from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db import connections
from django.test import Client

from catalogue.factories import ProductFactory
from dbrouting.hosts import normalise_host, spellings
from dbrouting.tenant_context import CurrentTenant, tenant_context
from tenants.models import Domain, Tenant

NOBODY, SHARED, CLOSED = "nobody", "shared", "closed"

HOSTS = [
    ("acme.localhost", "acme"),
    ("globex.localhost", "globex"),
    ("ACME.LocalHost", "acme"),
    ("acme.localhost:8000", "acme"),
    ("acme.localhost.", "acme"),
    ("Acme.localhost.:8000", "acme"),
    ("www.acme.localhost", "acme"),
    ("www.www.acme.localhost", NOBODY),
    ("a.acme.localhost", NOBODY),
    ("eu.acme.localhost", "globex"),  # it has a row of its own
    ("www.shop.test", "acme"),  # a domain registered with www. keeps to itself
    ("shop.test", NOBODY),
    ("www.both.test", "acme"),
    ("both.test", "globex"),
    ("xn--bcher-kva.test", "globex"),
    ("127.0.0.1", NOBODY),
    ("127.0.0.1:8000", NOBODY),
    ("[::1]", NOBODY),
    ("[::1]:8000", NOBODY),
    ("192.0.2.7", "acme"),  # it has a row
    ("localhost", SHARED),
    ("LOCALHOST:8000", SHARED),
    ("localhost.", SHARED),
    ("www.localhost", SHARED),
    ("stranger.localhost", NOBODY),
    ("acme.localhost.example.com", NOBODY),
    ("acme.example.com", NOBODY),
    ("acmelocalhost", NOBODY),
    ("closed.localhost", CLOSED),
    ("legacy.test", "acme"),  # a static route, to a tenant
    ("globex.test", "globex"),  # a static route, though the table has acme
]
REFUSALS = {NOBODY: HTTPStatus.NOT_FOUND, CLOSED: HTTPStatus.SERVICE_UNAVAILABLE}


pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _sites(db: None, settings: LazySettings, acme: CurrentTenant, globex: CurrentTenant) -> None:
    """Tenants' rows with domains of many kinds, and a product for each that says whose it is."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.DYNAMIC_DB_ROUTES = {"legacy.test": acme.alias, "globex.test": globex.alias}
    Tenant.objects.create(name="closed", state=Tenant.State.SUSPENDED)
    tenants = {tenant.name: tenant for tenant in Tenant.objects.all()}
    domains = {
        "acme": ("acme.localhost", "www.shop.test", "192.0.2.7", "globex.test", "www.both.test"),
        "globex": ("globex.localhost", "eu.acme.localhost", "xn--bcher-kva.test", "both.test"),
        "closed": ("closed.localhost",),
    }
    for name, hosts in domains.items():
        for host in hosts:
            Domain.objects.get_or_create(host=host, tenant=tenants[name])
    for tenant in (acme, globex):
        with tenant_context(tenant, switch=True):
            ProductFactory.create(name=f"Made for {tenant.name}")


@pytest.mark.no_tenant
@pytest.mark.parametrize(("host", "whose"), HOSTS)
def test_a_host_is_served_by_its_site(host: str, whose: str) -> None:
    response = Client(headers={"host": host}).get("/")

    assert response.status_code == REFUSALS.get(whose, HTTPStatus.OK)
    page = response.content.decode()
    shown = {name for name in ("acme", "globex") if f"Made for {name}" in page}
    assert shown == {whose} & {"acme", "globex"}
    assert ("This is the shared site" in page) == (whose == SHARED)


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    ("host", "queries"),
    [("stranger.localhost", 1), ("closed.localhost", 1), ("localhost", 0), ("legacy.test", 0), ("acme.localhost", 1)],
)
def test_finding_the_site_takes_at_most_one_query_to_the_shared_database(host: str, queries: int) -> None:
    asked: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        asked.append(context["connection"].alias)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(note))
        Client(headers={"host": host}).get("/accounts/login/")

    assert asked == ["default"] * queries


@pytest.mark.no_tenant
def test_in_development_an_unknown_host_is_told_which_ones_there_are(settings: LazySettings) -> None:
    client = Client(headers={"host": "127.0.0.1"})
    assert "TENANT_BASE_DOMAIN" not in client.get("/").content.decode()

    settings.DEBUG = True

    page = client.get("/").content.decode()
    assert "TENANT_BASE_DOMAIN" in page
    assert "acme.localhost" in page


def test_a_forbidden_host_is_refused_before_any_lookup(settings: LazySettings) -> None:
    settings.ALLOWED_HOSTS = [".localhost"]

    assert Client(headers={"host": "acme.example.com"}).get("/").status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("straße.example", ""),  # two standards disagree on whose this is
        ("acme.example:443", "acme.example"),
        (" acme.example. ", "acme.example"),
        ("[::1]:8000", "[::1]"),
        ("http://acme.example", ""),
        ("acme.example/shop", ""),
        ("two words", ""),
        ("", ""),
    ],
)
def test_a_host_has_one_spelling(written: str, normal: str) -> None:
    assert normalise_host(written) == normal


def test_the_exact_host_is_looked_for_before_the_one_without_www() -> None:
    assert spellings("WWW.acme.example:80") == ["www.acme.example", "acme.example"]
    assert spellings("acme.example") == ["acme.example"]


@pytest.mark.parametrize("host", ["localhost", "www.localhost", "LOCALHOST:80", "http://x", "straße.example"])
def test_a_tenant_cannot_have_the_base_domain_or_what_is_no_host(host: str) -> None:
    with pytest.raises(ValidationError):
        Domain(host=host, tenant=Tenant.objects.get(name="acme")).full_clean()


def test_what_is_wrong_with_a_host_is_said_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Domain(host="http://x", tenant=Tenant.objects.get(name="acme")).full_clean()

    assert len(caught.value.messages) == 1


def test_a_domain_is_stored_as_browsers_send_it() -> None:
    domain = Domain(host="Müller.example:8000", tenant=Tenant.objects.get(name="acme"))
    domain.full_clean()

    assert domain.host == "xn--mller-kva.example"
