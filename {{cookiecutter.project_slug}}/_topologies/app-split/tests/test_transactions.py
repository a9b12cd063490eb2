"""Transactions of several databases: what holds, and what a process that dies between two commits leaves."""

from functools import partial
from unittest.mock import Mock, patch

import pytest
from django.db import OperationalError, connections, transaction

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.models import Category
from dbrouting.sql import SeveralDatabasesError, atomic_for, atomic_in_order
from orders.factories import OrderFactory
from orders.models import Order
from outbox import registry
from outbox.draining import drain
from outbox.registry import handler
from outbox.sending import send

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The process ends here: what is committed stays, and nothing else is."""


def write_both() -> None:
    UserFactory.create()
    Order.objects.create(customer_id=1)


def write_both_in_order() -> None:
    with atomic_in_order("auth_db", "orders_db"):
        write_both()


def written() -> tuple[bool, bool]:
    return User.objects.exists(), Order.objects.exists()


def test_models_of_several_databases_have_no_transaction() -> None:
    with pytest.raises(SeveralDatabasesError) as refused:
        atomic_for(User, Order)

    assert "accounts.User on 'auth_db', orders.Order on 'orders_db'" in str(refused.value)
    assert "atomic_in_order('auth_db', 'orders_db')" in str(refused.value)


def test_both_are_committed_in_the_order_that_is_declared() -> None:
    commits: list[str] = []
    with atomic_in_order("auth_db", "orders_db"):
        for alias in ("orders_db", "auth_db"):
            transaction.on_commit(partial(commits.append, alias), using=alias)

    assert commits == ["auth_db", "orders_db"]


@pytest.mark.parametrize("failure", [ZeroDivisionError, Killed])
def test_an_exception_rolls_back_both(failure: type[BaseException]) -> None:
    with patch.object(Order.objects, "create", side_effect=failure), pytest.raises(failure):
        write_both_in_order()

    assert written() == (False, False)


@pytest.mark.parametrize(("alias", "left"), [("auth_db", (False, False)), ("orders_db", (True, False))])
def test_a_commit_that_fails_leaves_what_was_committed_before(
    monkeypatch: pytest.MonkeyPatch, alias: str, left: tuple[bool, bool]
) -> None:
    monkeypatch.setattr(connections[alias], "_commit", Mock(side_effect=OperationalError("refused")))
    with pytest.raises(OperationalError, match="refused"):
        write_both_in_order()
    monkeypatch.undo()

    assert written() == left


def test_a_crash_between_the_commits_leaves_the_first() -> None:
    """Which no order of commits can help; the outbox can, below."""

    def write_both_and_die() -> None:
        with atomic_in_order("auth_db", "orders_db"):
            write_both()
            transaction.on_commit(Mock(side_effect=Killed), using="auth_db")

    with pytest.raises(Killed):
        write_both_and_die()

    assert written() == (True, False)


def test_a_crash_between_the_commits_loses_nothing_with_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "HANDLERS", dict(registry.HANDLERS))
    handler("test.welcome", on="orders")(lambda payload: OrderFactory.create(customer_id=payload))

    def write_there_and_die() -> None:
        with atomic_for(User):
            transaction.on_commit(Mock(side_effect=Killed), using="auth_db")
            send("test.welcome", UserFactory.create().pk, model=User)

    with pytest.raises(Killed):
        write_there_and_die()
    assert written() == (True, False)

    drain("auth_db")
    assert written() == (True, True)


def test_no_transaction_may_be_around_them() -> None:
    """It would decide when theirs is committed."""
    with pytest.raises(RuntimeError, match="durable"), atomic_for(Category), atomic_in_order("auth_db", "default"):
        pass


def test_no_databases_have_no_transaction() -> None:
    """Such as when a list of aliases is empty: what is written in the block would be kept whatever happens."""
    with pytest.raises(ValueError, match=r"atomic_in_order\(\) would open no transaction"), atomic_in_order():
        pytest.fail("the block would run")
