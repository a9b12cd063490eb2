"""Ordering across apps that may live in different databases."""

from decimal import Decimal
from unittest.mock import patch

import pytest
from django.db import DatabaseError
from django.test import Client

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import ProductFactory
from catalogue.models import Product
from orders.factories import OrderFactory, OrderLineFactory
from orders.models import Order, OrderLine
from orders.services import ProductNotOrderableError, place_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer(site_client: Client) -> User:
    """Someone who is logged in."""
    customer = UserFactory.create(first_name="Ada", last_name="Brandt")
    site_client.force_login(customer)
    return customer


def test_placing_an_order_leads_to_ones_orders(site_client: Client, customer: User) -> None:
    ProductFactory.create(slug="sencha", name="Sencha", price=Decimal("9.60"))

    response = site_client.post("/orders/place/", {"product": "sencha", "quantity": 3}, follow=True)

    page = response.content.decode()
    assert response.redirect_chain == [("/orders/", 302)]
    assert "Your order is placed" in page
    assert "Sencha" in page
    assert "28.80" in page


def test_order_remembers_who_and_what_at_which_price(customer: User) -> None:
    product = ProductFactory.create(name="Sencha", price=Decimal("9.60"))

    order = place_order(customer, {product.pk: 2})
    Product.objects.filter(pk=product.pk).update(name="Sencha, new harvest", price=Decimal("12.00"))
    line = OrderLine.objects.get(order=order)

    assert (order.customer_id, order.customer_name) == (customer.pk, "Ada Brandt")
    assert (line.product_id, line.product_name, line.unit_price) == (product.pk, "Sencha", Decimal("9.60"))
    assert order.total == Decimal("19.20")


@pytest.mark.parametrize(
    ("product", "quantity"),
    [
        ("sencha", "0"),
        ("sencha", "-1"),
        ("sencha", "100"),
        ("sencha", "two"),
        ("sencha", ""),
        ("", "1"),
        ("nothing", "1"),
    ],
)
def test_invalid_order_shows_the_form_again(site_client: Client, customer: User, product: str, quantity: str) -> None:
    ProductFactory.create(slug="sencha")

    response = site_client.post("/orders/place/", {"product": product, "quantity": quantity})

    assert response.status_code == 422
    assert "errorlist" in response.content.decode()
    assert not Order.objects.exists()


@pytest.mark.parametrize("state", [{"stock": 0}, {"is_available": False}])
def test_unavailable_product_cannot_be_ordered(site_client: Client, customer: User, state: dict[str, int]) -> None:
    ProductFactory.create(slug="sencha", **state)

    response = site_client.post("/orders/place/", {"product": "sencha", "quantity": 1})

    assert response.status_code == 422
    assert "This product is not available." in response.content.decode()
    assert not Order.objects.exists()


def test_product_sold_out_between_form_and_order_is_refused(site_client: Client, customer: User) -> None:
    ProductFactory.create(slug="sencha")
    refusal = ProductNotOrderableError("Not available any more: Sencha.")

    with patch("orders.views.place_order", side_effect=refusal):
        response = site_client.post("/orders/place/", {"product": "sencha", "quantity": 1})

    assert response.status_code == 422
    assert "Not available any more: Sencha." in response.content.decode()


def test_order_with_one_product_that_is_gone_is_refused_whole(customer: User) -> None:
    there, gone = ProductFactory.create(), ProductFactory.create(name="Peppermint", stock=0)

    with pytest.raises(ProductNotOrderableError, match="Peppermint"):
        place_order(customer, {there.pk: 1, gone.pk: 1})

    assert not Order.objects.exists()


def test_order_without_its_lines_is_rolled_back(customer: User) -> None:
    product = ProductFactory.create()

    with patch.object(OrderLine.objects, "bulk_create", side_effect=DatabaseError), pytest.raises(DatabaseError):
        place_order(customer, {product.pk: 1})

    assert not Order.objects.exists()


def test_orders_of_others_are_not_shown(site_client: Client, customer: User) -> None:
    OrderLineFactory.create(order=OrderFactory.create(customer=customer), product__name="Sencha")
    OrderLineFactory.create(order=OrderFactory.create(), product__name="Hand grinder")

    page = site_client.get("/orders/").content.decode()

    assert "Sencha" in page
    assert "Hand grinder" not in page


def test_footer_names_every_database_of_the_page(site_client: Client, customer: User) -> None:
    OrderLineFactory.create(order=OrderFactory.create(customer=customer))

    response = site_client.get("/orders/")

    order = response.context["orders"][0]
    for row, kind in (order, "orders"), (order.lines.all()[0], "order lines"), (response.context["user"], "users"):
        assert kind in response.context["origins"][row._state.db]
        assert f"<code>{row._state.db}</code>" in response.content.decode()


@pytest.mark.parametrize("path", ["/orders/", "/orders/place/"])
def test_ordering_needs_a_login(site_client: Client, path: str) -> None:
    assert site_client.get(path).headers["Location"] == f"/accounts/login/?next={path}"
    assert site_client.post("/orders/place/").status_code == 302


def test_empty_order_form_offers_what_can_be_ordered(site_client: Client, customer: User) -> None:
    ProductFactory.create(name="Sencha")
    ProductFactory.create(name="Peppermint", stock=0)

    page = site_client.get("/orders/place/").content.decode()

    assert "Sencha" in page
    assert "Peppermint" not in page
