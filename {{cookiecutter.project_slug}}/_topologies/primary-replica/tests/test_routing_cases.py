"""Every way that Django has of asking for a database: reads share one replica, writes meet on the primary.

The replicas of these tests have the rows of the primary, so what counts is which alias was asked.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import router
from django.db.models import Count, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import CategoryFactory
from catalogue.models import Category, Product
from dbrouting.pinning import current_unit, is_pinned_to_primary, pin_to_primary, unit_of_work, use_primary
from dbrouting.replicas import is_replica
from dbrouting.testing import assert_routed_to
from orders.factories import OrderLineFactory
from orders.models import Order, OrderLine

pytestmark = pytest.mark.django_db


@pytest.fixture
def replica(product: Product) -> Iterator[str]:
    """The replica of a unit that reads what was written before it began."""
    OrderLineFactory.create(product=product)
    with unit_of_work():
        yield current_unit().replica


@pytest.fixture
def order(replica: str) -> Order:
    """An order that was read from the replica."""
    return Order.objects.get()


@pytest.fixture
def category(replica: str) -> Category:
    """Likewise."""
    return Category.objects.get()


# Reads


def test_a_query_set_knows_its_database_before_it_is_evaluated(replica: str) -> None:
    assert Product.objects.db == Product.objects.all().db == replica
    assert Product.objects.using("default").db == Product.objects.db_manager("default").all().db == "default"


@pytest.mark.parametrize(
    "ask",
    [
        lambda products: list(products.raw("SELECT * FROM catalogue_product")),
        lambda products: list(products.orderable().iterator()),
        lambda products: products.in_bulk(),
        lambda products: products.aggregate(Count("pk")),
        lambda products: list(products.select_related("category")),
        lambda products: list(products.prefetch_related("category__products")),
        lambda products: products.get().category.products.get().category,
        lambda products: products.only("pk").get().name,
        lambda products: products.get().refresh_from_db(),
        lambda products: products.get().full_clean(),
        lambda products: products.get(category__in=Category.objects.filter(slug__gt="")),
        lambda products: ContentType.objects.get_for_model(Product).get_object_for_this_type(slug="sencha"),
    ],
)
def test_whatever_is_read_is_read_from_the_units_replica(
    replica: str, ask: Callable[[QuerySet[Product]], object]
) -> None:
    ContentType.objects.get_for_model(Product)  # content types are the primary's; this one is remembered
    with assert_routed_to(replica):
        ask(Product.objects.all())


def test_an_object_of_select_related_says_where_it_is_from(replica: str) -> None:
    assert Product.objects.select_related("category").get().category._state.db == replica
    assert Product.objects.using("default").select_related("category").get().category._state.db == "default"


def test_a_subquery_follows_the_query_around_it(replica: str) -> None:
    products = Product.objects.filter(category__in=Category.objects.all())

    assert str(products.query)
    assert products.get()._state.db == replica
    assert products.using("default").get()._state.db == "default"
    with pytest.raises(ValueError, match="Subqueries aren't allowed across different databases"):
        Product.objects.filter(category__in=Category.objects.using("default")).exists()


def test_a_refreshed_object_may_change_its_database(order: Order, replica: str) -> None:
    order.refresh_from_db()
    assert order._state.db == replica

    order.refresh_from_db(using="default")
    assert order._state.db == "default"


def test_the_managers_of_an_objects_relations_begin_where_it_is_from(order: Order, replica: str) -> None:
    assert order.lines.db == order.lines.all().db == replica
    assert order.lines.db_manager("default").all().db == order.lines.using("default").db == "default"


def test_the_managers_of_an_accounts_relations_begin_on_the_primary(replica: str) -> None:
    user = User(pk=1)
    user._state.db = replica

    assert user.groups.db == user.groups.all().db == "default"
    assert user.groups.db_manager(replica).all().db == replica


# Writes


@pytest.mark.parametrize(
    "write",
    [
        lambda: Category.objects.create(name="Tea", slug="tea"),
        lambda: Category.objects.bulk_create([Category(name="Tea", slug="tea")]),
        lambda: Category.objects.get_or_create(slug="tea", defaults={"name": "Tea"}),
        lambda: Category.objects.update_or_create(slug="tea", defaults={"name": "Tea"}),
        lambda: Category.objects.filter(slug__gt="").update(name="Tea"),
        lambda: Category.objects.bulk_update([Category(pk=1, name="Tea")], ["name"]),
        lambda: OrderLine.objects.all().delete(),
        lambda: list(Category.objects.select_for_update()),
        lambda: User.objects.create_user("ada"),
        lambda: User.objects.create_superuser("ada"),
    ],
)
def test_a_query_set_writes_on_the_primary(replica: str, write: Callable[[], object]) -> None:
    with assert_routed_to("default"):
        write()


@pytest.mark.parametrize(
    "write",
    [
        lambda order: order.save(),
        lambda order: order.delete(),
        lambda order: order.lines.create(product_id=7, product_name="Tea", unit_price=1, quantity=1),
        lambda order: order.lines.get_or_create(product_id=7, defaults={"unit_price": 1, "quantity": 1}),
        lambda order: order.lines.update_or_create(product_id=7, defaults={"unit_price": 1, "quantity": 1}),
        lambda order: order.lines.update(quantity=2),
        lambda order: order.lines.all().delete(),
        lambda order: order.lines.add(OrderLine(product_id=7, unit_price=1, quantity=1), bulk=False),
        lambda order: OrderLine(order=order, product_id=7, unit_price=1, quantity=1).save(),
    ],
)
def test_an_object_from_a_replica_writes_on_the_primary(order: Order, write: Callable[[Order], object]) -> None:
    with assert_routed_to("default"):
        write(order)


@pytest.mark.parametrize(
    "write",
    [
        lambda user, group: user.groups.add(group),
        lambda user, group: user.groups.set([]),
        lambda user, group: user.groups.create(name="buyers"),
        lambda user, group: user.groups.get_or_create(name="buyers"),
        lambda user, group: user.groups.update(name="buyers"),
        lambda user, group: user.groups.remove(group),
        lambda user, group: user.groups.clear(),
        lambda user, group: user.groups.all().delete(),
        lambda user, group: group.user_set.add(user),
        lambda user, group: group.user_set.set([]),
        lambda user, group: group.user_set.create(username="grace"),
        lambda user, group: group.user_set.get_or_create(username="grace"),
        lambda user, group: group.user_set.update(first_name="Ada"),
        lambda user, group: group.user_set.remove(user),
        lambda user, group: group.user_set.clear(),
        lambda user, group: group.user_set.all().delete(),
    ],
)
def test_many_to_many_relations_are_changed_on_the_primary(
    replica: str, write: Callable[[User, Group], object]
) -> None:
    UserFactory.create().groups.add(Group.objects.create(name="staff"))
    with unit_of_work():
        user, group = User.objects.using(replica).get(groups__name="staff"), Group.objects.using(replica).get()
        with assert_routed_to("default"):
            write(user, group)


def test_what_is_made_through_a_relation_is_the_primarys(order: Order, category: Category, replica: str) -> None:
    assert OrderLine(order=order)._state.db == "default"

    made = category.products.create(name="Rooibos", slug="rooibos", price=1)
    found, _ = category.products.get_or_create(slug="rooibos")

    assert made._state.db == found._state.db == "default"
    assert category._state.db == replica


def test_an_object_is_moved_to_the_primary_by_saving_it_and_not_by_relating_it(product: Product, replica: str) -> None:
    from_replica = Product.objects.get()
    tea = CategoryFactory.create()

    from_replica.category = tea
    assert from_replica._state.db == replica
    with pytest.raises(ValueError, match=r"instance isn't saved\. Use bulk=False"):
        tea.products.add(from_replica)
    tea.products.add(from_replica, bulk=False)

    assert from_replica._state.db == "default"
    assert tea.products.get() == product


def test_what_was_not_loaded_is_fetched_before_an_object_moves_to_the_primary(replica: str) -> None:
    half = Product.objects.only("name").get()
    half.name = "Sencha, first flush"
    half.save(using="default")

    saved = Product.objects.using("default").get()
    assert (saved.name, saved.slug, saved.stock) == ("Sencha, first flush", "sencha", 10)


def test_signals_name_the_primary(order: Order) -> None:
    noted: set[str] = set()
    signals = (pre_save, post_save, pre_delete, post_delete, m2m_changed)

    def note(sender: Any, using: str, **kwargs: Any) -> None:
        noted.add(using)

    for signal in signals:
        signal.connect(note)
    try:
        order.save()
        User.objects.create(username="ada").groups.set([Group.objects.create(name="staff")])
        Order.objects.all().delete()
    finally:
        for signal in signals:
            signal.disconnect(note)

    assert noted == {"default"}


# Pinning


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(router.db_for_read(Product))


urlpatterns = [path("", answer), path("pinned/", use_primary(answer))]


@pytest.fixture
def browser(settings: Any) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client()


def test_a_request_does_not_inherit_the_pin_of_what_its_thread_did_before(browser: Client) -> None:
    pin_to_primary()

    assert is_replica(browser.get("/").content.decode())
    assert is_pinned_to_primary()


def test_a_pinned_view_pins_nothing_after_it(browser: Client) -> None:
    pinned = browser.get("/pinned/")

    assert pinned.content.decode() == "default"
    assert not pinned.cookies
    assert is_replica(browser.get("/").content.decode())


def test_a_function_that_reads_the_primary_leaves_a_pinned_unit_pinned() -> None:
    ask = use_primary(is_pinned_to_primary)

    assert ask()
    assert not is_pinned_to_primary()
    pin_to_primary()
    assert ask()
    assert is_pinned_to_primary()


def test_threads_in_one_block_at_once_each_go_back_to_what_they_were() -> None:
    """The one that entered first leaves last; they share the instance of the block, and only one was pinned before."""
    block = use_primary()
    first_entered, second_left = threading.Event(), threading.Event()
    afterwards: dict[str, bool] = {}

    def first() -> None:
        with block:
            first_entered.set()
            second_left.wait(10)
        afterwards["first"] = is_pinned_to_primary()

    def second() -> None:
        first_entered.wait(10)
        pin_to_primary()
        with block:
            pass
        afterwards["second"] = is_pinned_to_primary()
        second_left.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert afterwards == {"first": False, "second": True}
