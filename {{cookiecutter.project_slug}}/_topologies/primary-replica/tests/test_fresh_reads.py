"""Whoever wrote sees it, however far the replicas are behind.

Each scenario is run twice: with the project's router, and with the one that most people write first, to show that
the replica of these tests really is behind.
"""

from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import settings as project_settings
from django.contrib.auth.models import Group
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, connections, router, transaction
from django.forms import modelform_factory
from django.test import Client

from accounts.factories import UserFactory
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.overrides import in_database
from dbrouting.pinning import UnitOfWork, current_unit, unit_of_work, use_primary
from dbrouting.replicas import is_replica
from dbrouting.routers import PrimaryReplicaRouter
from dbrouting.sql import atomic_for, cursor_for
from orders.factories import OrderLineFactory
from orders.models import Order, OrderLine

pytestmark = pytest.mark.django_db


def created_row_exists(product: Product) -> bool:
    CategoryFactory.create(slug="coffee")
    return Category.objects.filter(slug="coffee").exists()


def row_created_in_async_code_exists(product: Product) -> bool:
    async def create_and_look() -> bool:
        await Category.objects.acreate(name="Coffee", slug="coffee")
        return await Category.objects.filter(slug="coffee").aexists()

    return async_to_sync(create_and_look)()


def created_row_is_refreshed(product: Product) -> bool:
    category = CategoryFactory.create()
    category.refresh_from_db()
    return True


def saved_row_is_refreshed(product: Product) -> bool:
    product.stock = 3
    product.save()
    product.refresh_from_db()
    return product.stock == 3


def updated_rows_are_read(product: Product) -> bool:
    Product.objects.update(stock=3)
    return Product.objects.get().stock == 3


def deleted_row_is_gone(product: Product) -> bool:
    product.delete()
    return not Product.objects.exists()


def bulk_created_rows_are_counted(product: Product) -> bool:
    Category.objects.bulk_create([Category(name="Coffee", slug="coffee"), Category(name="Cups", slug="cups")])
    return Category.objects.count() == 3


def raw_sql_is_seen(product: Product) -> bool:
    with cursor_for(Product) as cursor:
        cursor.execute("UPDATE catalogue_product SET stock = %s", [3])
    return Product.objects.get().stock == 3


def rows_by_executemany_are_seen(product: Product) -> bool:
    with cursor_for(Category) as cursor:
        cursor.executemany("INSERT INTO catalogue_category (name, slug) VALUES (%s, %s)", [("A", "a"), ("B", "b")])
    return Category.objects.count() == 3


def cascade_is_seen(product: Product) -> bool:
    line = OrderLineFactory.create()
    line.order.delete()
    with_old_line = Order.objects.exists() or OrderLine.objects.exists()
    OrderLineFactory.create()
    return not with_old_line and OrderLine.objects.exists()


def unique_check_finds_the_row(product: Product) -> bool:
    CategoryFactory.create(slug="coffee")
    try:
        Category(name="Coffee", slug="coffee").full_clean()
    except ValidationError:
        return True
    return False


def form_offers_the_new_choice(product: Product) -> bool:
    category = CategoryFactory.create()
    form = modelform_factory(Product, fields=["category"])({"category": category.pk})
    return form.is_valid()


def row_collided_with_is_found(product: Product) -> bool:
    """A failed write pins as well: it failed because of a row that must now be found."""
    _write_as_someone_else()
    try:
        with atomic_for(Category):
            Category.objects.create(name="Coffee", slug="coffee")
    except IntegrityError:
        pass
    return Category.objects.filter(slug="coffee").exists()


def transaction_sees_its_own_rows(product: Product) -> bool:
    with atomic_for(Category):
        _write_as_someone_else()
        return Category.objects.filter(slug="coffee").exists()


def related_rows_of_an_object_from_the_primary_are_read_there(product: Product) -> bool:
    _write_as_someone_else()
    coffee = Category.objects.using("default").get(slug="coffee")
    return coffee.products.count() == 1


def prefetched_rows_of_objects_from_the_primary_are_read_there(product: Product) -> bool:
    _write_as_someone_else()
    categories = Category.objects.using("default").filter(slug="coffee").prefetch_related("products")
    return [product.slug for category in categories for product in category.products.all()] == ["hand-grinder"]


def foreign_key_of_an_object_from_the_primary_is_read_there(product: Product) -> bool:
    _write_as_someone_else()
    return Product.objects.using("default").get(slug="hand-grinder").category.slug == "coffee"


def many_to_many_rows_are_seen(product: Product) -> bool:
    user = UserFactory.create()
    user.groups.add(Group.objects.create(name="Staff"))
    with unit_of_work():
        return user.groups.filter(name="Staff").exists() and user.groups.through._default_manager.exists()


def _write_as_someone_else() -> None:
    with unit_of_work():
        ProductFactory.create(slug="hand-grinder", category__slug="coffee")


SCENARIOS = [
    created_row_exists,
    row_created_in_async_code_exists,
    created_row_is_refreshed,
    saved_row_is_refreshed,
    updated_rows_are_read,
    deleted_row_is_gone,
    bulk_created_rows_are_counted,
    raw_sql_is_seen,
    rows_by_executemany_are_seen,
    cascade_is_seen,
    unique_check_finds_the_row,
    form_offers_the_new_choice,
    row_collided_with_is_found,
    transaction_sees_its_own_rows,
    related_rows_of_an_object_from_the_primary_are_read_there,
    prefetched_rows_of_objects_from_the_primary_are_read_there,
    foreign_key_of_an_object_from_the_primary_is_read_there,
    many_to_many_rows_are_seen,
]
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@every_scenario
@pytest.mark.usefixtures("stale_replica")
def test_own_writes_are_seen(scenario: Callable[[Product], bool], product: Product) -> None:
    assert scenario(product)


@every_scenario
@pytest.mark.usefixtures("stale_replica", "obvious_router")
def test_the_obvious_router_reads_old_rows(scenario: Callable[[Product], bool], product: Product) -> None:
    try:
        is_fresh = scenario(product)
    except ObjectDoesNotExist:
        is_fresh = False

    assert not is_fresh


@pytest.mark.usefixtures("stale_replica")
def test_a_login_lasts(site_client: Client) -> None:
    site_client.force_login(UserFactory.create(first_name="Ada"))

    assert "Ada" in site_client.get("/").content.decode()


@pytest.mark.usefixtures("stale_replica", "obvious_router")
def test_the_obvious_router_logs_out_who_just_logged_in(site_client: Client) -> None:
    site_client.force_login(UserFactory.create(first_name="Ada"))

    assert "Ada" not in site_client.get("/").content.decode()


# Where reads go when nothing was written


def test_reads_go_to_a_replica(product: Product, stale_replica: str) -> None:
    assert Product.objects.get()._state.db == stale_replica


def test_a_read_does_not_pin(unit: UnitOfWork) -> None:
    list(Product.objects.select_related("category"))
    Product.objects.explain()
    Product.objects.using("default").exists()
    with cursor_for(Product) as cursor:
        cursor.execute("WITH a AS (SELECT 1) SELECT * FROM a")

    assert not unit.pinned


def test_a_units_queries_agree_on_one_replica() -> None:
    assert len({router.db_for_read(model) for model in [Product, Order, Category] * 20}) == 1


def test_every_unit_chooses_anew() -> None:
    def chosen() -> str:
        with unit_of_work():
            return router.db_for_read(Product)

    assert {chosen() for _ in range(100)} == set(project_settings.REPLICA_DATABASES)


def test_related_rows_follow_the_replica_an_object_came_from(product: Product) -> None:
    with unit_of_work():
        for alias in project_settings.REPLICA_DATABASES:
            found = Product.objects.using(alias).get()
            assert found.category._state.db == alias
            assert found.category.products.get()._state.db == alias


def test_related_rows_are_fresh_after_a_write_wherever_the_object_came_from(product: Product) -> None:
    with unit_of_work():
        category = Category.objects.get()
        assert is_replica(category._state.db)
        ProductFactory.create(category=category)

        assert {found._state.db for found in category.products.all()} == {"default"}


@pytest.mark.parametrize("label", ["accounts", "admin", "auth", "contenttypes", "sessions"])
def test_accounts_and_sessions_are_read_on_the_primary(label: str) -> None:
    models = apps.get_app_config(label).get_models(include_auto_created=True)

    assert {router.db_for_read(model) for model in models} == {"default"}


def test_a_related_row_of_an_object_from_another_database_is_read_here() -> None:
    user = UserFactory.build()
    user._state.db = "somewhere_else"

    assert is_replica(router.db_for_read(Order, instance=user))


# Transactions


def test_the_transaction_of_a_test_case_does_not_count() -> None:
    assert connections["default"].in_atomic_block
    assert is_replica(router.db_for_read(Product))


def test_a_transaction_reads_the_primary_until_it_ends() -> None:
    with transaction.atomic():
        assert router.db_for_read(Product) == "default"
        with transaction.atomic():
            assert router.db_for_read(Product) == "default"
        assert router.db_for_read(Product) == "default"
    assert is_replica(router.db_for_read(Product))


@pytest.mark.django_db(transaction=True)
def test_a_transaction_begun_by_switching_autocommit_off_counts() -> None:
    transaction.get_connection("default").ensure_connection()
    assert is_replica(router.db_for_read(Product))
    transaction.set_autocommit(False, using="default")
    try:
        assert router.db_for_read(Product) == "default"
    finally:
        transaction.set_autocommit(True, using="default")


def test_a_transaction_on_a_replica_reads_there(product: Product) -> None:
    with unit_of_work(), transaction.atomic(using="replica1"):
        assert Product.objects.using("replica1").get() == product


# Writes


def test_a_locking_read_goes_to_the_primary() -> None:
    assert Product.objects.select_for_update().db == "default"


def test_an_object_from_a_replica_is_saved_on_the_primary(product: Product, stale_replica: str) -> None:
    found = Product.objects.get()
    assert found._state.db == stale_replica

    found.stock = 3
    found.save()

    assert found._state.db == "default"
    assert Product.objects.using("default").get().stock == 3


def test_an_object_from_a_replica_is_deleted_on_the_primary(product: Product, stale_replica: str) -> None:
    Product.objects.get().delete()

    assert not Product.objects.using("default").exists()


def test_objects_of_the_primary_and_of_a_replica_may_be_related(product: Product, stale_replica: str) -> None:
    category = Category.objects.get()
    assert category._state.db == stale_replica

    ProductFactory.create(category=category, slug="rooibos")

    assert category.products.filter(slug="rooibos").exists()


def test_relations_with_other_databases_are_left_to_other_routers() -> None:
    here, elsewhere = Category(), Product()
    elsewhere._state.db = "archive"

    assert PrimaryReplicaRouter().allow_relation(here, Product()) is True
    assert PrimaryReplicaRouter().allow_relation(here, elsewhere) is None
    assert PrimaryReplicaRouter().allow_relation(elsewhere, here) is None


def test_get_or_create_finds_what_the_replica_does_not_have(stale_replica: str) -> None:
    _write_as_someone_else()

    assert Category.objects.get_or_create(slug="coffee", defaults={"name": "Coffee"})[1] is False


# Precedence: .using(), then in_database, then what this topology decides


def test_using_wins_over_an_override_and_a_pin(product: Product, stale_replica: str) -> None:
    with use_primary(), in_database("default"):
        assert Product.objects.using(stale_replica).get()._state.db == stale_replica


def test_an_override_wins_over_a_pin_and_leaves_writes_to_the_primary(product: Product, stale_replica: str) -> None:
    with use_primary(), in_database(stale_replica):
        assert Product.objects.get()._state.db == stale_replica
        assert router.db_for_write(Product) == "default"


def test_a_command_that_writes_is_pinned_from_then_on(unit: UnitOfWork) -> None:
    CategoryFactory.create()

    assert current_unit() is unit
    assert router.db_for_read(Product) == "default"
