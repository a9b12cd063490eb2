"""Every way that Django has of asking for a database stays with the active tenant, also where tenants take turns."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import Count, Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.sql import atomic_for, on_commit_for
from dbrouting.tenant_context import (
    CurrentTenant,
    NoActiveTenantError,
    TenantSwitchError,
    get_current_tenant,
    shared_context,
    tenant_context,
)
from dbrouting.testing import assert_routed_to
from orders.factories import OrderLineFactory
from orders.models import Order, OrderLine
from reference.models import Currency

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shops(acme: CurrentTenant, globex: CurrentTenant) -> None:
    """The same rows at both tenants, but for what says whose they are; globex also has an order."""
    for tenant in (acme, globex):
        with tenant_context(tenant, switch=True):
            category = CategoryFactory.create(pk=1, slug="tea")
            for number in (1, 2, 3):
                ProductFactory.create(pk=number, slug=f"tea-{number}", name=tenant.name, category=category)
    with tenant_context(globex, switch=True):
        OrderLineFactory.create(product=Product.objects.get(pk=1))


@pytest.fixture
def order() -> Order:
    return OrderLineFactory.create(product=Product.objects.get(pk=1)).order


def names() -> set[str]:
    return set(Product.objects.values_list("name", flat=True))


# Queries


@pytest.mark.parametrize(
    "ask",
    [
        lambda orders: list(orders.raw("SELECT * FROM orders_order")),
        lambda orders: list(orders.iterator()),
        lambda orders: list(orders.dates("created_at", "year")),
        lambda orders: orders.in_bulk(),
        lambda orders: orders.aggregate(Count("pk")),
        lambda orders: list(orders.prefetch_related("lines")),
        lambda orders: orders.only("pk").get().customer_name,
        lambda orders: orders.get().refresh_from_db(),
        lambda orders: orders.get().full_clean(),
        lambda orders: orders.get(lines__in=OrderLine.objects.filter(product_id=1)),
        lambda orders: OrderLine.objects.select_related("order").get().order.lines.get(),
        lambda orders: orders.get_or_create(customer_id=7),
        lambda orders: orders.update_or_create(customer_id=7),
        lambda orders: orders.bulk_create([Order(customer_id=7)]),
        lambda orders: orders.bulk_update(orders.all(), ["customer_name"]),
        lambda orders: orders.update(customer_name="Ada"),
        lambda orders: orders.filter(lines__quantity=1).delete(),
        lambda orders: orders.get().lines.create(product_id=7, unit_price=1, quantity=1),
        lambda orders: orders.get().delete(),
        lambda orders: list(orders.select_for_update()),
        lambda orders: User.objects.create_user("ada"),
    ],
)
def test_whatever_is_asked_is_asked_of_the_tenants_database(
    order: Order, acme: CurrentTenant, ask: Callable[[QuerySet[Order]], object]
) -> None:
    with assert_routed_to(acme.alias):
        ask(Order.objects.all())


@pytest.mark.parametrize(
    "change",
    [
        lambda user, group: user.groups.add(group),
        lambda user, group: user.groups.set([group]),
        lambda user, group: user.groups.create(name="buyers"),
        lambda user, group: user.groups.get_or_create(name="buyers"),
        lambda user, group: user.groups.remove(group),
        lambda user, group: user.groups.clear(),
        lambda user, group: group.user_set.create(username="grace"),
        lambda user, group: group.user_set.update(first_name="Ada"),
        lambda user, group: group.user_set.all().delete(),
        lambda user, group: user.delete(),
    ],
)
def test_many_to_many_relations_are_the_tenants(acme: CurrentTenant, change: Callable[[User, Group], object]) -> None:
    user, group = UserFactory.create(), Group.objects.create(name="staff")
    with assert_routed_to(acme.alias):
        change(user, group)


def test_a_query_set_is_asked_of_the_tenant_that_is_active_when_it_is_evaluated(globex: CurrentTenant) -> None:
    products = Product.objects.all()

    with tenant_context(globex, switch=True):
        assert {product.name for product in products} == {"globex"}


@pytest.mark.no_tenant
def test_a_query_set_that_leaves_its_block_is_not_asked_at_all(acme: CurrentTenant) -> None:
    with tenant_context(acme):
        products = Product.objects.all()

    with pytest.raises(NoActiveTenantError):
        list(products)


def test_what_was_not_loaded_is_not_fetched_from_another_tenant(globex: CurrentTenant) -> None:
    half = Product.objects.only("pk").get(pk=1)

    with tenant_context(globex, switch=True), pytest.raises(TenantSwitchError, match="is from 'tenant_acme'"):
        str(half)
    assert str(half) == "acme"


def test_signals_name_the_tenants_database(order: Order, acme: CurrentTenant) -> None:
    noted: set[str] = set()
    signals = (pre_save, post_save, pre_delete, post_delete, m2m_changed)

    def note(sender: Any, using: str, **kwargs: Any) -> None:
        noted.add(using)

    for signal in signals:
        signal.connect(note)
    try:
        order.save()
        UserFactory.create().groups.set([Group.objects.create(name="staff")])
        Order.objects.all().delete()
    finally:
        for signal in signals:
            signal.disconnect(note)

    assert noted == {acme.alias}


# Tenants that take turns


def test_rows_fetched_bit_by_bit_are_one_tenants_to_the_end(globex: CurrentTenant) -> None:
    seen = []
    for product in Product.objects.iterator(chunk_size=1):
        with tenant_context(globex, switch=True):
            seen += [product.name, *names()]

    assert seen == ["acme", "globex"] * 3


def test_blocks_inside_blocks_give_back_the_tenant_around_them(acme: CurrentTenant, globex: CurrentTenant) -> None:
    seen = []
    inner, outer = tenant_context(acme, switch=True), tenant_context(globex, switch=True)
    with outer:
        seen.append(names())
        with inner:
            seen.append(names())
            with outer, shared_context(switch=True), inner:
                seen.append(names())
            seen.append(names())
        seen.append(names())

    assert seen == [{"globex"}, {"acme"}, {"acme"}, {"acme"}, {"globex"}]
    assert get_current_tenant() == acme


def test_what_one_tenant_rolls_back_another_keeps(acme: CurrentTenant, globex: CurrentTenant) -> None:
    with atomic_for(Product):
        Product.objects.update(stock=1)
        with tenant_context(globex, switch=True):
            Product.objects.update(stock=2)
        transaction.set_rollback(True, using=acme.alias)

    assert set(Product.objects.values_list("stock", flat=True)) == {10}
    with tenant_context(globex, switch=True):
        assert set(Product.objects.values_list("stock", flat=True)) == {2}


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_one_tenants_commit_does_not_wait_for_anothers(globex: CurrentTenant) -> None:
    done: list[str] = []
    with atomic_for(Product):
        on_commit_for(Product, lambda: done.append("acme"))
        with tenant_context(globex, switch=True), atomic_for(Product):
            on_commit_for(Product, lambda: done.append("globex"))
        assert done == ["globex"]
    assert done == ["globex", "acme"]


def test_an_error_of_the_database_leaves_every_tenant_where_it_was(acme: CurrentTenant, globex: CurrentTenant) -> None:
    for tenant in (globex, acme):
        with tenant_context(tenant, switch=True):
            with pytest.raises(IntegrityError), transaction.atomic(using=tenant.alias):
                Category.objects.create(pk=1, name="Tea", slug="tea")
            assert names() == {tenant.name}
    assert names() == {"acme"}


def test_the_same_id_is_another_row_at_each_tenant(acme: CurrentTenant, globex: CurrentTenant) -> None:
    with tenant_context(globex, switch=True):
        Product.objects.filter(pk=1).delete()
        Category.objects.filter(pk=1).update(name="Coffee")

    product = Product.objects.get(pk=1)
    assert (product.name, product._state.db) == ("acme", acme.alias)
    assert product.category.name != "Coffee"


# Sites of their own


@pytest.mark.no_tenant
def test_a_password_opens_the_site_it_was_set_on_and_no_other(
    settings: Any, acme: CurrentTenant, globex: CurrentTenant
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a fast one
    sites = {"acme": tenant_context(acme), "globex": tenant_context(globex), "shared": shared_context()}
    for name, site in sites.items():
        with site:
            User.objects.create_user("ada", password=f"at {name}")

    def opened(password: str) -> Iterator[str]:
        for name, site in sites.items():
            with site:
                user = authenticate(username="ada", password=password)
            if user:
                yield name

    assert {name: list(opened(f"at {name}")) for name in sites} == {name: [name] for name in sites}


@pytest.fixture
def forgotten_content_types() -> Iterator[None]:
    """Django remembers them also when the test's transaction is rolled back."""
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


@pytest.mark.usefixtures("forgotten_content_types")
def test_a_content_type_is_remembered_for_each_tenant_apart(globex: CurrentTenant) -> None:
    def content_type() -> ContentType:
        return ContentType.objects.get_for_model(Product)

    with tenant_context(globex, switch=True):
        content_type().delete()
        ContentType.objects.clear_cache()
    here = content_type()
    with tenant_context(globex, switch=True):
        there = content_type()
        found = there.get_object_for_this_type(pk=1)

    assert here.pk != there.pk
    assert content_type() == here
    assert str(found) == "globex"
    assert str(here.get_object_for_this_type(pk=1)) == "acme"


def test_loaddata_leaves_out_what_is_shared(tmp_path: Path, acme: CurrentTenant, globex: CurrentTenant) -> None:
    path = tmp_path / "rows.json"
    rows = [{"model": "catalogue.category", "pk": 70, "fields": {"name": "Coffee", "slug": "coffee"}}]
    path.write_text(json.dumps([*rows, {"model": "reference.currency", "pk": "XTS", "fields": {"name": "Testing"}}]))

    call_command("loaddata", str(path), database=acme.alias, verbosity=0)

    assert Category.objects.filter(pk=70).exists()
    assert not Currency.objects.filter(pk="XTS").exists()
    with tenant_context(globex, switch=True):
        assert not Category.objects.filter(pk=70).exists()


@pytest.mark.parametrize("model", [User, Product, Order])
def test_a_query_set_knows_its_database_before_it_is_evaluated(
    model: type[Model], acme: CurrentTenant, globex: CurrentTenant
) -> None:
    manager = model._default_manager

    assert manager.db == manager.all().db == acme.alias
    assert manager.using(globex.alias).db == manager.db_manager(globex.alias).all().db == globex.alias
