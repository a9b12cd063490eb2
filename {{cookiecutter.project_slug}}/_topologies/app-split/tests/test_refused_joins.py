"""Queries into another database that no field sees: their error names both models, both databases and the way out."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models import Exists, OuterRef, Subquery

from accounts.models import User
from billing.models import Invoice
from dbrouting.references import CrossDatabaseJoinError
from orders.models import Order, OrderLine
from outbox.models import Receipt

pytestmark = pytest.mark.django_db

STAFF = User.objects.filter(is_staff=True)
RAW = "SELECT 1 FROM billing_invoice JOIN accounts_user ON accounts_user.id = customer_id"
ROADS: dict[str, Callable[[], object]] = {
    "pk__in": lambda: list(Invoice.objects.filter(pk__in=STAFF.values("pk"))),
    "customer__pk__in": lambda: list(Invoice.objects.filter(customer__pk__in=STAFF)),
    "exists": lambda: Invoice.objects.filter(Exists(User.objects.filter(pk=OuterRef("customer_id")))).first(),
    "subquery": lambda: list(Invoice.objects.annotate(staff=Subquery(STAFF.values("pk")[:1]))),
    "union": lambda: list(Invoice.objects.order_by().values("pk").union(STAFF.values("pk")).order_by()),
    "update": lambda: Invoice.objects.filter(pk__in=STAFF.values("pk")).update(amount=1),
    "delete": lambda: Invoice.objects.filter(pk__in=STAFF.values("pk"))._raw_delete("default"),
    "iterator": lambda: list(Invoice.objects.filter(pk__in=STAFF.values("pk")).iterator()),
    "raw": lambda: list(Invoice.objects.raw(RAW)),
}


@pytest.mark.parametrize("ask", ROADS.values(), ids=ROADS)
def test_a_query_into_another_database_is_explained(ask: Callable[[], object]) -> None:
    with pytest.raises(CrossDatabaseJoinError) as refused, transaction.atomic():
        ask()

    assert "A query on 'default', among billing.Invoice, looks into accounts.User, on 'auth_db'" in str(refused.value)
    assert "pk__in=list(keys)" in str(refused.value)
    assert isinstance(refused.value.__cause__, DatabaseError)


def test_the_models_are_named_whichever_side_is_asked() -> None:
    with pytest.raises(CrossDatabaseJoinError, match=r"among accounts\.User, looks into billing\.Invoice, on 'default"):
        list(User.objects.filter(pk__in=Invoice.objects.values("amount")))


UNKNOWN = "SELECT 1 FROM billing_invoice JOIN accounts_usr ON true"
MISSPELT = "SELECT billing_invoice.accounts_user FROM billing_invoice"
UNEXPLAINED: dict[str, Callable[[], object]] = {
    "all of it is asked of the wrong database": lambda: list(Order.objects.using("default")),
    "so are both of a join": lambda: list(OrderLine.objects.using("default").filter(order__customer_id=1)),
    "nobody knows the table": lambda: list(Invoice.objects.raw(UNKNOWN)),
    "it is wrong otherwise": lambda: list(Invoice.objects.raw(MISSPELT)),
    "it is no query": lambda: connections["default"].cursor().execute("ALTER TABLE orders_order RENAME TO billing_x"),
}


@pytest.mark.parametrize("ask", UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_other_errors_are_the_databases_own(ask: Callable[[], object]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        ask()


def test_a_query_in_the_wrong_database_says_which_is_the_right_one() -> None:
    """Such as what a generic foreign key asks: it looks beside the row that has it."""
    content_type = ContentType.objects.get_for_model(Order)

    with pytest.raises(DatabaseError) as refused, transaction.atomic("auth_db"):
        content_type.get_object_for_this_type(using="auth_db", pk=1)

    [note] = refused.value.__notes__
    assert note.startswith("orders.Order lives on 'orders_db', and was asked for on 'auth_db'")


def test_nobody_is_sent_to_another_databases_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receipt._meta, "db_table", "outbox_missing")

    with pytest.raises(DatabaseError) as refused, transaction.atomic("orders_db"):
        connections["orders_db"].cursor().execute("SELECT 1 FROM outbox_missing")

    assert not hasattr(refused.value, "__notes__")


def watchers(connection: Any) -> int:
    """The module isn't imported here: the project has to do that."""
    return sum(wrapper.__module__ == "dbrouting.refused_joins" for wrapper in connection.execute_wrappers)


def test_a_connection_is_watched_once_however_often_it_is_made() -> None:
    connection = connections["default"]

    connection_created.send(sender=type(connection), connection=connection)

    assert watchers(connection) == 1


def test_a_connection_that_is_made_in_a_block_is_watched_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end the block takes away whatever wrapper is the last."""
    connection = connections["default"]
    monkeypatch.setattr(connection, "execute_wrappers", [])

    with connection.execute_wrapper(lambda execute, *arguments: execute(*arguments)):
        connection_created.send(sender=type(connection), connection=connection)

    assert watchers(connection) == 1
