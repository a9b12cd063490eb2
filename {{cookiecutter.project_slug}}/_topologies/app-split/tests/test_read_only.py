"""Databases that are read and never written: who tries is told which model, and which database."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connections, models
from django.test.utils import isolate_apps

from accounts.models import User
from dbrouting import topology_checks
from dbrouting.adopted_tables import adopted_models, empty_adopted_tables, filling, make_adopted_tables
from dbrouting.aliases import lent
from dbrouting.inspection.findings import Finding
from dbrouting.overrides import in_database
from dbrouting.read_only import WRITE, ReadOnlyDatabaseError, written
from dbrouting.references import CrossDatabaseForeignKey
from dbrouting.targets import get_targets
from orders.factories import OrderFactory
from orders.models import Order, OrderLine


@pytest.fixture
def archive(db: None) -> Iterator[str]:
    """The database of the orders under another alias, for readers."""
    settings = connections["orders_db"].settings_dict
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "transaction_mode"}
    with lent({**settings, "READ_ONLY": True, "OPTIONS": options}) as alias:  # a reader takes no lock for writing
        yield alias


WRITES: dict[str, Callable[[str], object]] = {
    "save": lambda alias: OrderFactory.build(customer_id=1).save(using=alias),
    "create": lambda alias: Order.objects.using(alias).create(customer_id=1),
    "bulk_create": lambda alias: Order.objects.using(alias).bulk_create([Order(customer_id=1)]),
    "update": lambda alias: Order.objects.using(alias).update(status="shipped"),
    "delete": lambda alias: Order.objects.using(alias)._raw_delete(alias),
    "raw": lambda alias: connections[alias].cursor().execute("delete from orders_order"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_is_refused_with_its_model_and_its_database(archive: str, write: Callable[[str], object]) -> None:
    with pytest.raises(ReadOnlyDatabaseError, match=rf"orders\.Order can't .* '{archive}' \(ORDERS_DATABASE_URL\)"):
        write(archive)


def test_a_write_that_a_block_sends_there_is_refused(archive: str) -> None:
    with in_database(archive, write=True), pytest.raises(ReadOnlyDatabaseError, match=r"orders\.Order"):
        Order.objects.create(customer_id=1)


def test_a_table_that_is_nobodys_model_is_named(archive: str) -> None:
    with pytest.raises(ReadOnlyDatabaseError, match="The table note can't be written"):
        connections[archive].cursor().execute("CREATE TABLE note (id integer)")


def test_reads_and_transactions_are_let_through(archive: str) -> None:
    with connections[archive].cursor() as cursor:
        cursor.execute("SELECT 'update'")
        assert cursor.fetchone() == ("update",)


def test_after_a_reconnection_it_is_watched_once(archive: str) -> None:
    connection = connections[archive]
    connection.ensure_connection()
    wrappers = list(connection.execute_wrappers)
    connection.close()
    connection.connect()

    assert connection.execute_wrappers == wrappers


def test_a_test_fills_what_the_project_only_reads(archive: str) -> None:
    statement = "DELETE FROM nobody_has_this"
    with filling(archive), pytest.raises(DatabaseError, match="nobody_has_this"):  # it reached the database
        connections[archive].cursor().execute(statement)

    with pytest.raises(ReadOnlyDatabaseError):
        connections[archive].cursor().execute(statement)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ('INSERT INTO "orders_order" ("id") VALUES (1)', "orders.Order"),
        ("INSERT OR IGNORE INTO `orders_order` VALUES (1)", "orders.Order"),
        ('\n  UPDATE ONLY "orders_orderline" SET "quantity" = 1', "orders.OrderLine"),
        ("drop table orders_order", "orders.Order"),
        ('DELETE FROM "public"."orders_order"', "The table public.orders_order"),
    ],
)
def test_the_model_is_told_from_the_statement(sql: str, named: str) -> None:
    found = WRITE.match(sql)

    assert found
    assert written(found["table"]) == named


@pytest.mark.parametrize("sql", ["SELECT 1", "SAVEPOINT updates", "WITH a AS (SELECT 1) SELECT 2", "updates"])
def test_other_statements_are_no_writes(sql: str) -> None:
    assert not WRITE.match(sql)


# Tests' own tables


@pytest.fixture
def visits(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[models.Model]]:
    """A model of somebody else's table, which isn't there, on an alias that is read-only for the occasion."""
    with isolate_apps("orders"):

        class Visit(models.Model):
            page = models.CharField(max_length=20)

            class Meta:
                app_label = "orders"
                managed = False

            def __str__(self) -> str:
                return self.page

    settings = connections.settings["orders_db"]
    with monkeypatch.context() as patch:
        patch.setattr(apps, "get_models", lambda **kwargs: [Visit])
        patch.setitem(settings, "READ_ONLY", True)
        patch.setitem(settings, "IN_TESTS", {"OPTIONS": settings["OPTIONS"]})
        yield Visit
    with connections["orders_db"].schema_editor() as editor:
        editor.delete_model(Visit)


def test_the_tables_are_made_before_tests_and_emptied_after_them(visits: Any) -> None:
    settings, rows = connections.settings["orders_db"], visits.objects.using("orders_db")
    get_targets().prepare_tests({})
    assert not settings["READ_ONLY"]
    get_targets().fill_tests()
    assert settings["READ_ONLY"]
    make_adopted_tables()  # a second time there is nothing to do

    with filling("orders_db"):
        rows.create(page="/")
    assert rows.count() == 1

    empty_adopted_tables()
    assert rows.count() == 0


# What check_databases says


def adopted(monkeypatch: pytest.MonkeyPatch, table: str) -> list[Finding]:
    """What it finds of a model with a column ``page``, if that is the table's name and the database is read-only."""
    with isolate_apps("orders"):

        class Visit(models.Model):
            page = models.CharField(max_length=20)

            class Meta:
                app_label = "orders"
                managed = False
                db_table = table

            def __str__(self) -> str:
                return self.page

    monkeypatch.setattr(apps, "get_models", lambda **kwargs: [Visit])
    return list(get_targets().differences("orders_db"))


@pytest.mark.usefixtures("db", "read_only_orders")
def test_columns_that_somebody_else_removed_or_added_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    error, info = adopted(monkeypatch, "orders_orderline")

    assert (error.severity, info.severity) == ("error", "info")
    assert error.what == "orders_orderline lacks columns of orders.Visit, so that its queries fail: page."
    assert "orders_orderline has columns that orders.Visit lacks: order_id," in info.what
    assert error.commands == ("python manage.py inspectdb orders_orderline --database=orders_db",)


@pytest.mark.usefixtures("db", "read_only_orders")
def test_a_table_that_somebody_else_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    [error] = adopted(monkeypatch, "orders_visit")

    assert error.what.startswith("orders.Visit has no table orders_visit any more")


def test_tables_that_are_not_made_by_migrations_may_be_missing_where_writes_are_allowed(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert adopted(monkeypatch, "orders_visit") == []


# Checks


@pytest.fixture
def read_only_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["orders_db"], "READ_ONLY", True)


def faults() -> list[Any]:
    return topology_checks.check_read_only_databases_are_left_alone(None)


@pytest.mark.usefixtures("read_only_orders")
def test_a_model_whose_table_migrations_would_make_there_is_an_error() -> None:
    assert [(error.id, error.obj) for error in faults()] == [("dbrouting.E211", Order), ("dbrouting.E211", OrderLine)]


@pytest.mark.usefixtures("read_only_orders")
@isolate_apps("orders")
def test_what_a_deletion_elsewhere_would_do_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Visit(models.Model):
        user = CrossDatabaseForeignKey(User, models.CASCADE, related_name="+")
        seller = CrossDatabaseForeignKey(User, models.PROTECT, related_name="+")
        guide = CrossDatabaseForeignKey(User, models.DO_NOTHING, related_name="+")

        class Meta:
            app_label = "orders"
            managed = False

        def __str__(self) -> str:
            return "A visit"

    monkeypatch.setattr(apps, "get_models", lambda **kwargs: [Visit])
    [error] = faults()

    assert (error.id, error.msg.partition(" is on")[0]) == ("dbrouting.E212", "orders.Visit.user")
    assert adopted_models("orders_db") == [Visit]
    assert adopted_models("default") == []


def test_without_read_only_databases_there_is_nothing_to_say() -> None:
    assert faults() == []
