"""The admin of what is only read: everything can be looked at, and nothing else."""

import pytest
from django.contrib import admin
from django.test import Client

from accounts.factories import UserFactory
from dbrouting.read_only_admin import ReadOnlyMixin
from orders.factories import OrderFactory
from orders.models import Order

pytestmark = pytest.mark.django_db
ORDERS = "/admin/orders/order/"


@pytest.fixture
def browser(site_client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Of a superuser, where orders are only read."""
    site_client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    usual = admin.site.get_model_admin(Order)  # which the site's URLs keep
    monkeypatch.setattr(usual, "__class__", type("OrderAdmin", (ReadOnlyMixin, type(usual)), {}))
    return site_client


def test_a_superuser_may_look_and_is_offered_nothing_else(browser: Client) -> None:
    order = OrderFactory.create()

    listed = browser.get(ORDERS).content.decode()
    page = browser.get(f"{ORDERS}{order.pk}/change/").content.decode()

    assert f"{ORDERS}{order.pk}/change/" in listed
    assert "delete_selected" not in listed
    assert f"{ORDERS}add/" not in listed
    assert 'name="_save"' not in page
    assert f"{ORDERS}{order.pk}/delete/" not in page


@pytest.mark.parametrize("page", ["add/", "{0.pk}/change/", "{0.pk}/delete/"])
def test_what_is_sent_all_the_same_is_refused(browser: Client, page: str) -> None:
    order = OrderFactory.create()

    answer = browser.post(ORDERS + page.format(order), {"post": "yes", "status": "shipped"})

    assert answer.status_code == 403
    assert Order.objects.get().status == order.status
