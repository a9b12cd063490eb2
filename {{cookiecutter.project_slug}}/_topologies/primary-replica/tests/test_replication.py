"""On replicas that are really behind, each in its own time, nobody misses a write of theirs.

The replicas are those of ``REPLICA_URLS``, on their own servers, and one that has stopped. On SQLite, which has no
replication, the former share the primary's database, and the latter is a copy of it.
"""

import random
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.db import DatabaseError, connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import include, path

from accounts.factories import UserFactory
from catalogue.factories import CategoryFactory
from catalogue.models import Product
from conftest import wait_until_replayed
from dbrouting.pinning import unit_of_work
from dbrouting.replicas import is_replica
from dbrouting.sql import atomic_for
from dbrouting.testing import assert_routed_to

OLD, NEW = 10, 3
ROUNDS = 30


def two_looks(request: HttpRequest) -> JsonResponse:
    """What a page shows that asks twice."""
    return JsonResponse([Product.objects.get().stock, Product.objects.get().stock], safe=False)


urlpatterns = [path("two-looks/", two_looks), path("", include("config.urls"))]


@pytest.fixture(autouse=True)
def _the_same_choices_in_each_run(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    random.seed(20)  # what the routers choose, right or wrong


@pytest.fixture
def customer(db: None) -> Client:
    """Logged in before the last replica stopped."""
    client = Client()
    with unit_of_work():
        client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def replicas(customer: Client, replica_servers: list[str], stale_replica: str, settings: Any) -> list[str]:
    """All of them, up to date for now; the last has stopped."""
    settings.REPLICA_DATABASES = [*replica_servers, stale_replica]
    return [*replica_servers, stale_replica]


def sell_out() -> None:
    """A write by somebody else."""
    with unit_of_work():
        Product.objects.update(stock=NEW)


def stock_on(alias: str) -> int:
    return Product.objects.using(alias).get().stock


def test_what_is_committed_arrives_on_every_replica(replica_servers: list[str]) -> None:
    sell_out()

    wait_until_replayed(*replica_servers)

    assert {stock_on(alias) for alias in replica_servers} == {NEW}


def test_nothing_arrives_on_the_one_that_stopped(stale_replica: str) -> None:
    sell_out()

    assert (stock_on("default"), stock_on(stale_replica)) == (NEW, OLD)


def test_a_replicas_own_session_refuses_to_write(replicas: list[str]) -> None:
    for alias in replicas:
        connections[alias].ensure_connection()
        connections[alias].execute_wrappers.clear()  # ours, which would refuse first

        with pytest.raises(DatabaseError, match=r"(?i)read[ -]?only"), transaction.atomic(using=alias):
            Product.objects.using(alias).update(stock=NEW)


# Who wrote


def orders_missed(customer: Client) -> int:
    """How many of the customer's orders weren't there when she looked right after placing them."""
    missed = 0
    for number in range(1, ROUNDS + 1):
        customer.post("/orders/place/", {"product": "sencha", "quantity": 1})
        missed += customer.get("/orders/").content.decode().count('class="order"') < number
    return missed


@pytest.mark.usefixtures("replicas")
def test_a_customer_sees_each_order_at_once(customer: Client) -> None:
    assert orders_missed(customer) == 0


@pytest.mark.usefixtures("replicas", "obvious_router")
def test_with_the_obvious_router_she_misses_some(customer: Client) -> None:
    assert orders_missed(customer) > 0


@pytest.mark.usefixtures("replicas")
def test_without_the_cookie_she_misses_some(customer: Client, settings: Any) -> None:
    settings.PRIMARY_PIN_SECONDS = settings.PRIMARY_PIN_COOKIE_AGE = 0

    assert orders_missed(customer) > 0


@pytest.mark.usefixtures("replicas")
def test_a_transaction_reads_the_row_that_it_locked() -> None:
    sell_out()
    for _ in range(ROUNDS):
        with unit_of_work(), atomic_for(Product):
            locked = Product.objects.select_for_update().get()
            assert (locked.stock, Product.objects.get().stock) == (NEW, NEW)


def test_an_object_from_a_replica_is_saved_on_the_primary_and_comes_back(replica_servers: list[str]) -> None:
    for alias in replica_servers:
        with unit_of_work():
            found = Product.objects.using(alias).get()
            assert found.category._state.db == alias
            found.stock += 1
            found.save()
            assert Product.objects.get().stock == stock_on("default") == found.stock
        wait_until_replayed(*replica_servers)
        assert {stock_on(other) for other in replica_servers} == {found.stock}


# Everybody else


@pytest.mark.usefixtures("stale_replica")
def test_others_see_a_write_later() -> None:
    sell_out()

    assert Client().get("/two-looks/").json() == [OLD, OLD]


def test_others_see_a_write_when_their_replica_has_it(replica_servers: list[str], settings: Any) -> None:
    sell_out()
    wait_until_replayed(*replica_servers)

    for alias in replica_servers:
        settings.REPLICA_DATABASES = [alias]
        with assert_routed_to(alias):
            assert Client().get("/two-looks/").json() == [NEW, NEW]


def looks(stale_replica: str, settings: Any) -> list[list[int]]:
    """What visitors see when one replica is behind the other, a mirror that has everything."""
    settings.REPLICA_DATABASES = ["replica1", stale_replica]
    sell_out()
    return [Client().get("/two-looks/").json() for _ in range(ROUNDS)]


def test_a_page_is_of_one_replica(stale_replica: str, settings: Any) -> None:
    seen = looks(stale_replica, settings)

    assert [NEW, NEW] in seen
    assert [OLD, OLD] in seen
    assert all(first == second for first, second in seen)


@pytest.mark.usefixtures("obvious_router")
def test_with_the_obvious_router_a_page_contradicts_itself(stale_replica: str, settings: Any) -> None:
    assert any(first != second for first, second in looks(stale_replica, settings))


@pytest.mark.usefixtures("stale_replica")
def test_a_visitor_in_an_async_view_is_served_by_a_replica() -> None:
    sell_out()

    page = Client().get("/api/products/").json()

    assert [product["stock"] for product in page["products"]] == [OLD]
    assert all(is_replica(alias) for alias in page["databases"])


# What may never be old


def answers_after_logout(customer: Client) -> set[int]:
    """How the page of orders answers to the cookie of a session that has ended."""
    name = project_settings.SESSION_COOKIE_NAME
    cookie = customer.cookies[name].value
    customer.post("/accounts/logout/")
    return {Client(headers={"Cookie": f"{name}={cookie}"}).get("/orders/").status_code for _ in range(ROUNDS)}


@pytest.mark.usefixtures("replicas")
def test_a_session_that_has_ended_opens_nothing(customer: Client) -> None:
    assert answers_after_logout(customer) == {302}


@pytest.mark.usefixtures("replicas", "obvious_router")
def test_with_the_obvious_router_it_still_opens_pages(customer: Client) -> None:
    assert 200 in answers_after_logout(customer)


def categories_missed(customer: Client) -> int:
    """How often the admin didn't show what somebody else had just added."""
    missed = 0
    for number in range(ROUNDS):
        with unit_of_work():
            CategoryFactory.create(slug=f"new-{number}")
        missed += f"new-{number}<" not in customer.get("/admin/catalogue/category/?o=-1").content.decode()
    return missed


@pytest.mark.usefixtures("replicas")
def test_the_admin_shows_what_others_wrote(customer: Client) -> None:
    assert categories_missed(customer) == 0


@pytest.mark.usefixtures("replicas", "obvious_router")
def test_with_the_obvious_router_the_admin_does_not(customer: Client) -> None:
    assert categories_missed(customer) > 0
