"""Every app's rows are in the database that the map names, and nowhere else."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connections, models, router
from django.test.utils import isolate_apps

from accounts.factories import UserFactory
from accounts.models import User
from billing.models import Invoice, Payment
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting import topology_checks
from dbrouting.overrides import ReadOnlyOverrideError, in_database
from dbrouting.routers import holds_tables
from dbrouting.testing import assert_routed_to
from orders.factories import OrderFactory
from orders.models import Order, OrderLine

HOMES = [
    (User, "auth_db"),
    (Group, "auth_db"),
    (ContentType, "auth_db"),
    (LogEntry, "auth_db"),
    (Session, "auth_db"),
    (Product, "default"),
    (Invoice, "default"),
    (Payment, "default"),
    (Order, "orders_db"),
    (OrderLine, "orders_db"),
]


@pytest.mark.parametrize(("model", "alias"), HOMES)
def test_reads_and_writes_go_home(model: type[models.Model], alias: str) -> None:
    assert router.db_for_read(model) == router.db_for_write(model) == alias


@pytest.mark.django_db
@pytest.mark.parametrize("alias", ["default", "auth_db", "orders_db"])
def test_a_database_has_the_tables_of_its_own_apps_only(alias: str) -> None:
    everywhere = {"django_migrations", "outbox_message", "outbox_receipt"}
    tables = set(connections[alias].introspection.table_names())
    expected = {
        table
        for model, home in HOMES
        if home == alias
        for table in (model._meta.db_table, *(field.m2m_db_table() for field in model._meta.local_many_to_many))
    }

    assert everywhere <= tables
    assert tables - everywhere - {"catalogue_category", "auth_permission"} == expected


# Precedence: .using(), then in_database, then where the object came from, then the map


@pytest.mark.django_db
def test_using_wins_over_an_override() -> None:
    with in_database("auth_db", write=True):
        assert Product.objects.using("orders_db").db == "orders_db"
        with assert_routed_to("default"):
            Product.objects.using("default").exists()


def test_an_override_wins_over_the_map_and_over_the_origin_of_an_object() -> None:
    product = Product()
    product._state.db = "default"
    with in_database("orders_db", write=True):
        assert router.db_for_read(Product) == router.db_for_write(Product) == "orders_db"
        assert router.db_for_write(Product, instance=product) == "orders_db"


def test_a_write_in_a_read_only_override_raises() -> None:
    with in_database("orders_db"), pytest.raises(ReadOnlyOverrideError, match=r"catalogue\.Product"):
        router.db_for_write(Product)


@pytest.fixture
def catalogue_tables_in_orders_db(transactional_db: None) -> Iterator[None]:
    """A second database with the catalogue's tables, such as an archive."""
    with connections["orders_db"].schema_editor() as editor:
        editor.create_model(Category)
        editor.create_model(Product)
    yield
    with connections["orders_db"].schema_editor() as editor:
        editor.delete_model(Product)
        editor.delete_model(Category)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("catalogue_tables_in_orders_db")
def test_an_object_read_elsewhere_is_saved_where_it_came_from() -> None:
    with in_database("orders_db", write=True):
        ProductFactory.create(slug="sencha")
        product = Product.objects.get(slug="sencha")

    product.name = "Sencha, first flush"
    product.save()
    product.refresh_from_db()

    assert product._state.db == "orders_db"
    assert Product.objects.using("orders_db").get().name == "Sencha, first flush"
    assert not Product.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("catalogue_tables_in_orders_db")
def test_related_objects_of_an_object_read_elsewhere_are_found_beside_it() -> None:
    with in_database("orders_db", write=True):
        category = CategoryFactory.create()
        ProductFactory.create(category=category)

    with assert_routed_to("orders_db"):
        product = category.products.get()
        assert product.category == category


# Relations


@pytest.mark.django_db
def test_relations_within_a_database_are_allowed_and_across_are_not() -> None:
    user, order = UserFactory.create(), OrderFactory.create()

    assert router.allow_relation(user, Group())
    assert not router.allow_relation(user, order)
    assert not router.allow_relation(User(), Order())


@isolate_apps("orders")
def test_a_foreign_key_across_databases_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Receipt(models.Model):
        customer = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "orders"

        def __str__(self) -> str:
            return "A receipt"

    monkeypatch.setattr(apps, "get_models", lambda: [Receipt])
    [error] = topology_checks.check_relations_stay_in_one_database(None)

    assert error.id == "dbrouting.E205"
    assert error.obj is Receipt
    assert error.msg == "orders.Receipt.customer relates orders, in 'orders_db', to accounts, in 'auth_db'."
    assert error.hint == "Use CrossDatabaseForeignKey, or map both apps to one alias."


@isolate_apps("orders")
def test_a_proxy_lives_where_its_table_is() -> None:
    class Customer(User):
        class Meta:
            app_label = "orders"
            proxy = True

    assert router.db_for_read(Customer) == router.db_for_write(Customer) == "auth_db"
    assert router.allow_relation(Customer(), Group())


def test_a_related_object_of_another_home_does_not_lead_its_relatives_astray() -> None:
    order = Order()
    order._state.db = "elsewhere"

    assert router.db_for_read(Product, instance=order) == "default"
    assert router.db_for_read(OrderLine, instance=order) == "elsewhere"
    user = User()
    user._state.db = "elsewhere"
    assert router.db_for_read(Group, instance=user) == "elsewhere"
    assert not router.allow_relation(order, OrderLine())


@isolate_apps("orders")
def test_a_database_that_has_no_tables_but_those_of_proxies_elsewhere_has_no_outbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Customer(User):
        class Meta:
            app_label = "orders"
            proxy = True

    monkeypatch.setattr(apps, "get_models", lambda: [Customer, Group])

    assert not holds_tables("orders_db")
    assert holds_tables("auth_db")


# The map


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"ordres": "orders_db"}, "E201", "ordres"),
        ({"orders": "order_db"}, "E202", "order_db"),
        ({"orders": "empty"}, "E202", "empty"),
    ],
)
def test_a_misspelt_name_in_the_map_is_an_error(
    settings: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], code: str, named: str
) -> None:
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, **changes}
    monkeypatch.setitem(connections.settings, "empty", {"ENGINE": "django.db.backends.dummy"})
    [error] = topology_checks.check_mapping_names(None)

    assert error.id == f"dbrouting.{code}"
    assert named in error.msg


@pytest.mark.parametrize("label", ["admin", "auth", "contenttypes", "sessions"])
def test_a_contrib_app_left_behind_is_an_error_that_names_it(settings: Any, label: str) -> None:
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, label: "default"}
    [error] = topology_checks.check_contrib_lives_together(None)

    assert error.id == "dbrouting.E203"
    assert f'"{label}": "auth_db"' in str(error.hint)


def test_unmapped_apps_are_listed(settings: Any) -> None:
    mapped = {"orders": "orders_db", "auth": "auth_db", "contenttypes": "auth_db"}
    settings.DATABASE_APPS_MAPPING = mapped
    [info] = topology_checks.check_every_app_is_mapped(None)

    assert info.id == "dbrouting.I201"
    listed = info.msg.rpartition(": ")[2].rstrip(".").split(", ")
    assert {"accounts", "catalogue", "admin", "sessions"} <= {*listed}
    assert not {*listed} & {*mapped}


def test_the_table_of_a_database_cache_is_mapped_like_an_app(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}
    [info] = topology_checks.check_every_app_is_mapped(None)
    assert info.msg.endswith(": django_cache.")

    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, "django_cache": "orders_db"}
    assert topology_checks.check_every_app_is_mapped(None) == []
    assert topology_checks.check_mapping_names(None) == []


def test_an_unknown_home_is_reported_as_that_alone(settings: Any) -> None:
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, "orders": "order_db"}

    assert topology_checks.check_every_model_has_a_home(None) == []


@pytest.mark.parametrize("routers", [[], ["dbrouting.routers.AppSplitRouter"]])
def test_a_map_that_is_not_asked_last_is_an_error(settings: Any, routers: list[str]) -> None:
    settings.DATABASE_ROUTERS = [*routers, "dbrouting.overrides.StrictOverrideRouter"]

    assert [error.id for error in topology_checks.check_router_is_last(None)] == ["dbrouting.E206"]


def test_requests_in_a_transaction_of_one_database_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["orders_db"], "ATOMIC_REQUESTS", True)
    [warning] = topology_checks.check_atomic_requests(None)

    assert warning.id == "dbrouting.W201"
    assert "'orders_db'" in warning.msg


# Migrating


@pytest.mark.django_db
def test_an_app_is_not_migrated_where_it_does_not_live() -> None:
    with pytest.raises(CommandError, match=r"don't allow orders on 'auth_db'.*Run it on: orders_db"):
        call_command("migrate", "orders", database="auth_db")


@pytest.mark.django_db
def test_content_types_and_permissions_of_every_app_are_beside_the_users() -> None:
    with assert_routed_to("auth_db"):
        assert ContentType.objects.filter(app_label="orders", model="order").exists()
        assert UserFactory.create(is_superuser=True).has_perm("orders.add_order")
