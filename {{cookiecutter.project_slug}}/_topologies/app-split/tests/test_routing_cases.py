"""Every way that Django has of asking for a database leads home, and to one database at a time."""

import json
import pickle
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db.models import Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.overrides import ReadOnlyOverrideError, in_database
from dbrouting.testing import assert_routed_to
from orders.factories import OrderFactory, OrderLineFactory
from orders.models import Order, OrderLine

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return UserFactory.create(username="ada")


@pytest.fixture
def group() -> Group:
    return Group.objects.create(name="staff")


@pytest.fixture
def order() -> Order:
    return OrderLineFactory.create().order


# Managers


@pytest.mark.parametrize(("model", "alias"), [(User, "auth_db"), (Product, "default"), (Order, "orders_db")])
def test_a_query_set_knows_its_database_before_it_is_evaluated(model: type[Model], alias: str) -> None:
    manager = model._default_manager

    assert manager.db == manager.all().db == manager.filter(pk=1).db == alias
    assert manager.using("orders_db").db == manager.db_manager("orders_db").all().db == "orders_db"


def test_a_query_set_keeps_its_database_when_it_is_pickled() -> None:
    for query_set in (Order.objects.all(), Order.objects.using("orders_db")):
        assert pickle.loads(pickle.dumps(query_set)).db == "orders_db"


def test_the_methods_of_the_user_manager_write_beside_the_users() -> None:
    with assert_routed_to("auth_db"):
        User.objects.create_user("ada")
        User.objects.create_superuser("grace")
        assert User.objects.get_by_natural_key("ada") != User.objects.get(username="grace")


def test_a_related_manager_is_the_projects_own_and_stays_at_home() -> None:
    category = CategoryFactory.create()
    ProductFactory.create(category=category, stock=0)

    with assert_routed_to("default"):
        assert not category.products.orderable().exists()


# Queries


@pytest.mark.parametrize(
    "ask",
    [
        lambda orders: list(orders.raw("SELECT * FROM orders_order")),
        lambda orders: list(orders.dates("created_at", "year")),
        lambda orders: orders.in_bulk(),
        lambda orders: orders.get_or_create(customer_id=7),
        lambda orders: orders.update_or_create(customer_id=7, defaults={"customer_name": "Ada"}),
        lambda orders: orders.bulk_update(orders.all(), ["customer_name"]),
        lambda orders: list(orders.iterator()),
        lambda orders: list(orders.prefetch_related("lines")),
        lambda orders: orders.only("pk").get().customer_name,
        lambda orders: orders.get().refresh_from_db(),
        lambda orders: orders.get().full_clean(),
        lambda orders: OrderLine.objects.select_related("order").get().order.save(),
        lambda orders: OrderLine.objects.get(order__customer_name="Ada").delete(),
        lambda orders: OrderLine.objects.get(order__in=orders.filter(customer_name="Ada")),
        lambda orders: OrderLine.objects.filter(order__customer_name="Ada").delete(),
        lambda orders: orders.filter(lines__quantity=1).update(customer_name="Grace"),
    ],
)
def test_whatever_is_asked_of_orders_is_asked_of_their_database(
    order: Order, ask: Callable[[QuerySet[Order]], object]
) -> None:
    Order.objects.update(customer_name="Ada")
    with assert_routed_to("orders_db"):
        ask(Order.objects.all())


def test_neighbours_of_an_order_are_looked_for_beside_it(order: Order) -> None:
    later = OrderFactory.create()

    with assert_routed_to("orders_db"):
        assert order.get_next_by_created_at() == later
        assert later.get_previous_by_created_at() == order


def test_ids_cross_from_one_database_to_another_and_subqueries_do_not(order: Order) -> None:
    bought = OrderLine.objects.values_list("product_id", flat=True)

    assert Product.objects.filter(pk__in=list(bought)).count() == 1
    with pytest.raises(ValueError, match="Subqueries aren't allowed across different databases"):
        Product.objects.filter(pk__in=bought.using("orders_db")).count()


# Relations


@pytest.mark.parametrize(
    "change",
    [
        lambda user, group: user.groups.add(group),
        lambda user, group: user.groups.set([group]),
        lambda user, group: user.groups.create(name="buyers"),
        lambda user, group: user.groups.get_or_create(name="buyers"),
        lambda user, group: user.groups.update(name="buyers"),
        lambda user, group: user.groups.remove(group),
        lambda user, group: user.groups.clear(),
        lambda user, group: user.groups.all().delete(),
        lambda user, group: group.user_set.add(user),
        lambda user, group: group.user_set.set([user]),
        lambda user, group: group.user_set.create(username="grace"),
        lambda user, group: group.user_set.get_or_create(username="grace"),
        lambda user, group: group.user_set.update(username="grace"),
        lambda user, group: group.user_set.remove(user),
        lambda user, group: group.user_set.clear(),
        lambda user, group: group.user_set.all().delete(),
        lambda user, group: user.delete(),
        lambda user, group: group.delete(),
    ],
)
def test_many_to_many_relations_are_changed_where_both_ends_are(
    user: User, group: Group, change: Callable[[User, Group], object]
) -> None:
    user.groups.add(group)
    with assert_routed_to("auth_db"):
        change(user, group)


def test_an_object_that_belongs_to_another_is_meant_for_its_database(order: Order) -> None:
    line = OrderLine(order=order, product_id=2, product_name="Sencha", unit_price=1, quantity=1)
    assert line._state.db == "orders_db"

    with assert_routed_to("orders_db"):
        line.save()
        order.lines.create(product_id=3, product_name="Rooibos", unit_price=1, quantity=1)
        order.lines.filter(product_id=3).update(quantity=2)
        assert order.lines.get_or_create(product_id=3)[1] is False
    order.delete()
    assert not OrderLine.objects.exists()


def test_objects_of_one_app_from_two_databases_are_not_related() -> None:
    product, archived = ProductFactory.create(), Category(pk=1)
    archived._state.db = "orders_db"

    with pytest.raises(ValueError, match="router prevents this relation"):
        product.category = archived
    with pytest.raises(ValueError, match="router prevents this relation"):
        archived.products.add(product)


def test_many_to_many_objects_from_two_databases_are_not_related(user: User) -> None:
    elsewhere = Group(pk=1, name="archived")
    elsewhere._state.db = "orders_db"

    with pytest.raises(ValueError, match='value is on database "orders_db"'):
        user.groups.add(elsewhere)


def test_a_content_type_leads_to_the_objects_own_database(user: User, order: Order) -> None:
    """Content types are beside the users; the log of the admin holds one and the id of an object anywhere."""
    content_type = ContentType.objects.get_for_model(Order)
    entry = LogEntry.objects.create(
        user=user, content_type=content_type, object_id=str(order.pk), object_repr="", action_flag=CHANGE
    )
    assert (content_type._state.db, entry._state.db) == ("auth_db", "auth_db")

    with assert_routed_to("orders_db"):
        assert entry.get_edited_object() == order
        assert list(content_type.get_all_objects_for_this_type()) == [order]


# Signals and errors


@pytest.fixture
def noted() -> Iterator[set[str]]:
    """The databases that the signals of the ORM speak of."""
    databases: set[str] = set()
    signals = (pre_save, post_save, pre_delete, post_delete, m2m_changed)

    def note(sender: Any, using: str, **kwargs: Any) -> None:
        databases.add(using)

    for signal in signals:
        signal.connect(note)
    yield databases
    for signal in signals:
        signal.disconnect(note)


@pytest.mark.parametrize(
    ("alias", "change"),
    [
        ("orders_db", lambda: OrderFactory.build(customer_id=1).save()),
        ("orders_db", lambda: Order.objects.create(customer_id=1).delete()),
        ("auth_db", lambda: User.objects.create(username="ada").groups.set([Group.objects.create(name="staff")])),
        ("auth_db", lambda: Group.objects.create(name="staff").user_set.clear()),
    ],
)
def test_signals_name_the_database(noted: set[str], alias: str, change: Callable[[], object]) -> None:
    change()

    assert noted == {alias}


@pytest.mark.parametrize(
    "write",
    [
        lambda user, group: user.save(),
        lambda user, group: user.delete(),
        lambda user, group: user.groups.add(group),
        lambda user, group: user.groups.set([group]),
        lambda user, group: user.groups.clear(),
        lambda user, group: group.user_set.remove(user),
        lambda user, group: user.logentry_set.all().delete(),
        lambda user, group: User.objects.create(username="grace"),
        lambda user, group: User.objects.bulk_create([User(username="grace")]),
        lambda user, group: User.objects.update(email=""),
        lambda user, group: User.objects.get_or_create(username="ada"),
        lambda user, group: list(User.objects.select_for_update()),
    ],
)
def test_an_error_of_a_router_reaches_whoever_writes(
    user: User, group: Group, write: Callable[[User, Group], object]
) -> None:
    with in_database("orders_db"), pytest.raises(ReadOnlyOverrideError):
        write(user, group)


# Tables and fixtures


def test_content_types_are_made_again_where_they_live_and_nowhere_else() -> None:
    of_orders = ContentType.objects.filter(app_label="orders")
    before = set(of_orders.values_list("model", flat=True))
    of_orders.delete()

    call_command("migrate", database="orders_db", verbosity=0)
    assert not of_orders.exists()
    call_command("migrate", database="auth_db", verbosity=0)

    assert set(of_orders.values_list("model", flat=True)) == before == {"order", "orderline"}


def test_dumpdata_finds_rows_only_where_the_app_lives(order: Order) -> None:
    def dumped(alias: str) -> list[str]:
        output = StringIO()
        call_command("dumpdata", "orders", database=alias, stdout=output)
        return [row["model"] for row in json.loads(output.getvalue())]

    assert dumped("orders_db") == ["orders.order", "orders.orderline"]
    assert dumped("default") == dumped("auth_db") == []


def test_loaddata_leaves_out_what_lives_elsewhere(tmp_path: Path, order: Order, user: User) -> None:
    path = tmp_path / "rows.json"
    rows = [{"model": "orders.order", "pk": 70, "fields": {"customer_id": user.pk, "customer_name": "Ada"}}]
    path.write_text(json.dumps([*rows, {"model": "auth.group", "pk": 70, "fields": {"name": "buyers"}}]))

    def loaded(alias: str) -> str:
        output = StringIO()
        call_command("loaddata", str(path), database=alias, stdout=output)
        return output.getvalue()

    assert "Installed 1 object(s) (of 2)" in loaded("orders_db")
    assert "Installed 0 object(s) (of 2)" in loaded("default")
    assert Order.objects.filter(pk=70).exists()
    assert not Group.objects.filter(pk=70).exists()
