"""The fixtures that ``conftest.py`` offers the project's tests."""

from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.tenant_context import CurrentTenant, get_current_tenant, tenant_context
from tenants.models import Tenant
from tenants.places import place_exists

pytestmark = pytest.mark.django_db

MakeTenant = Callable[..., CurrentTenant]


def test_a_test_works_for_the_tenant(tenant: CurrentTenant) -> None:
    assert get_current_tenant() == tenant == CurrentTenant.of(Tenant.objects.get(name="acme"))


@pytest.mark.no_tenant
def test_a_test_that_says_so_works_for_none() -> None:
    assert get_current_tenant() is None


def test_the_tenants_browsers_are_on_its_site(tenant_client: Client, async_tenant_client: AsyncClient) -> None:
    ProductFactory.create(name="Sencha of acme")

    assert "Sencha of acme" in tenant_client.get("/").content.decode()
    assert "Sencha of acme" in async_to_sync(async_tenant_client.get)("/").content.decode()


def test_further_tenants_are_made_and_served_beside_it(make_tenant: MakeTenant, tenant: CurrentTenant) -> None:
    initech, hooli = make_tenant("initech"), make_tenant("hooli", "hooli.example.localhost")
    for each in (initech, hooli):
        with tenant_context(each, switch=True):
            ProductFactory.create(name=f"Sencha of {each.name}")

    assert not Product.objects.exists()
    for host, name in (("initech.localhost", "initech"), ("hooli.example.localhost", "hooli")):
        assert f"Sencha of {name}" in Client(headers={"host": host}).get("/").content.decode()


@pytest.fixture
def is_gone_after_the_test(room_for_tenants: None) -> Iterator[None]:
    """Torn down after ``make_tenant`` is."""
    yield
    assert not place_exists("tenant_initech")


@pytest.mark.usefixtures("is_gone_after_the_test")
def test_a_further_tenant_is_gone_after_the_test(make_tenant: MakeTenant) -> None:
    make_tenant("initech")

    assert place_exists("tenant_initech")
