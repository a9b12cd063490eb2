"""What a visitor sees, and that each page tells where its rows came from."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.contrib.admin.models import CHANGE, LogEntry
from django.test import AsyncClient, Client
from django.utils.functional import SimpleLazyObject

from accounts.factories import UserFactory
from catalogue.factories import CategoryFactory, ProductFactory

pytestmark = pytest.mark.django_db


def test_catalogue_lists_every_product(site_client: Client) -> None:
    ProductFactory.create(name="Sencha")
    ProductFactory.create(name="Rooibos")

    page = site_client.get("/").content.decode()

    assert "Sencha" in page
    assert "Rooibos" in page


def test_catalogue_shows_one_category_when_asked(site_client: Client) -> None:
    tea = CategoryFactory.create(slug="tea")
    ProductFactory.create(name="Sencha", category=tea)
    ProductFactory.create(name="Hand grinder")

    page = site_client.get("/", {"category": "tea"}).content.decode()

    assert "Sencha" in page
    assert "Hand grinder" not in page


def test_unknown_category_is_not_found(site_client: Client) -> None:
    assert site_client.get("/", {"category": "nowhere"}).status_code == 404


def test_product_page_invites_a_visitor_to_log_in_and_come_back(site_client: Client) -> None:
    product = ProductFactory.create(slug="sencha")

    page = site_client.get(product.get_absolute_url()).content.decode()

    assert "/accounts/login/?next=/products/sencha/" in page


def test_product_page_offers_a_customer_to_order(site_client: Client) -> None:
    product = ProductFactory.create()
    site_client.force_login(UserFactory.create())

    page = site_client.get(product.get_absolute_url()).content.decode()

    assert "Place order" in page


@pytest.mark.parametrize("state", [{"stock": 0}, {"is_available": False}])
def test_product_page_says_what_cannot_be_ordered(site_client: Client, state: dict[str, int]) -> None:
    product = ProductFactory.create(**state)
    site_client.force_login(UserFactory.create())

    page = site_client.get(product.get_absolute_url()).content.decode()

    assert "Not available" in page
    assert "Place order" not in page


def test_unknown_product_is_not_found(site_client: Client) -> None:
    assert site_client.get("/products/nothing/").status_code == 404


def test_footer_names_the_database_of_the_rows(site_client: Client) -> None:
    product = ProductFactory.create()

    response = site_client.get(product.get_absolute_url())

    alias = response.context["product"]._state.db
    assert response.context["origins"] == {alias: ["categories", "products"]}
    assert f"<code>{alias}</code>" in response.content.decode()


def test_footer_says_when_there_are_no_rows(site_client: Client) -> None:
    assert "no rows" in site_client.get("/accounts/login/").content.decode()


def test_logging_in_and_out(site_client: Client) -> None:
    UserFactory.create(username="ada", first_name="Ada", password="a long secret")

    logged_in = site_client.post("/accounts/login/", {"username": "ada", "password": "a long secret"}, follow=True)
    logged_out = site_client.post("/accounts/logout/", follow=True)

    assert logged_in.redirect_chain == [("/orders/", 302)]
    assert "Ada" in logged_in.content.decode()
    assert "Log in" in logged_out.content.decode()


def test_factory_customer_has_no_password_to_guess(site_client: Client) -> None:
    assert not UserFactory.create().has_usable_password()


def test_api_is_served_from_the_event_loop(async_site_client: AsyncClient) -> None:
    ProductFactory.create(slug="sencha", name="Sencha", price="9.60", stock=3, category__slug="tea")

    response = async_to_sync(async_site_client.get)("/api/products/")

    assert response.json()["products"] == [
        {
            "slug": "sencha",
            "name": "Sencha",
            "category": "tea",
            "price": "9.60",
            "stock": 3,
            "is_orderable": True,
        }
    ]


def test_api_names_the_database_of_the_rows(async_site_client: AsyncClient, settings: LazySettings) -> None:
    ProductFactory.create()

    response = async_to_sync(async_site_client.get)("/api/products/")

    (alias,) = response.json()["databases"]
    assert alias in settings.DATABASES


@pytest.mark.parametrize("model", ["accounts/user", "catalogue/category", "catalogue/product", "orders/order"])
@pytest.mark.parametrize("page", ["", "add/"])
def test_admin_pages_open(site_client: Client, model: str, page: str) -> None:
    site_client.force_login(UserFactory.create(is_staff=True, is_superuser=True))

    assert site_client.get(f"/admin/{model}/{page}").status_code == 200


def test_the_user_of_a_request_can_be_written_to_a_foreign_key() -> None:
    """`request.user` is a lazy proxy: neither its own type nor its state say what it stands for."""
    user = UserFactory.create()
    proxy: Any = SimpleLazyObject(lambda: user)

    entry = LogEntry.objects.create(user=proxy, action_flag=CHANGE)

    assert LogEntry.objects.get(user=proxy) == entry
    assert entry.user == user
