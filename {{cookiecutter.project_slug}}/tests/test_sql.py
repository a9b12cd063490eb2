"""Raw SQL, transactions and commit hooks go where the model's rows are."""

import pytest
from django.db import connections, router, transaction

from dbrouting.sql import atomic_for, cursor_for, on_commit_for
from dbrouting.testing import assert_routed_to
from orders.factories import OrderFactory
from orders.models import Order, OrderLine

ROWS = "SELECT count(*) FROM orders_order"


@pytest.mark.django_db
def test_a_cursor_writes_where_the_model_is_written() -> None:
    OrderFactory.create(status="placed")

    with assert_routed_to(router.db_for_write(Order)), cursor_for(Order) as cursor:
        cursor.execute("UPDATE orders_order SET customer_name = %s", ["Ada"])
        assert cursor.rowcount == 1

    assert Order.objects.get().customer_name == "Ada"


@pytest.mark.django_db
def test_a_read_only_cursor_asks_where_the_model_is_read() -> None:
    with assert_routed_to(router.db_for_read(Order)), cursor_for(Order, read_only=True) as cursor:
        cursor.execute(ROWS)
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_a_rollback_takes_back_the_rows_of_the_model() -> None:
    def fail_after_writing() -> None:
        with atomic_for(Order):
            OrderFactory.create()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_writing()

    assert not Order.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_transaction_is_for_several_models_of_a_database() -> None:
    with atomic_for(Order, OrderLine):
        assert connections[router.db_for_write(OrderLine)].in_atomic_block
        with pytest.raises(RuntimeError, match="durable"), atomic_for(OrderLine, Order, durable=True):
            pass


@pytest.mark.django_db(transaction=True)
def test_on_commit_waits_for_the_transaction_of_the_model() -> None:
    seen: list[int] = []

    with atomic_for(Order):
        OrderFactory.create()
        on_commit_for(Order, lambda: seen.append(Order.objects.count()))
        assert seen == []

    assert seen == [1]


@pytest.mark.django_db(transaction=True)
def test_a_durable_transaction_is_not_nested() -> None:
    with atomic_for(Order), pytest.raises(RuntimeError, match="durable"), atomic_for(Order, durable=True):
        pass


@pytest.mark.django_db
def test_atomic_for_opens_a_transaction_there_and_nowhere_else() -> None:
    home = router.db_for_write(Order)
    before = {alias: len(connections[alias].savepoint_ids) for alias in connections}

    with atomic_for(Order):
        inside = {alias: len(connections[alias].savepoint_ids) for alias in connections}

    assert {alias for alias in connections if inside[alias] != before[alias]} == {home}
    assert not transaction.get_rollback(using=home)
