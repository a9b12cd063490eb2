"""What is to be done in another database is recorded with the change that it tells of, and done once, whatever dies."""

import inspect
from datetime import date, timedelta
from typing import Any
from unittest.mock import Mock, patch

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.db import OperationalError, connections
from django.db.models import Model, QuerySet
from django.utils import timezone

from catalogue.models import Category
from dbrouting.aliases import usable_aliases
from dbrouting.inspection.inspector import Inspector
from dbrouting.mapping import complete
from dbrouting.overrides import in_database
from dbrouting.routers import holds_tables
from dbrouting.sql import atomic_for
from orders.factories import OrderFactory
from orders.models import Order, OrderLine
from outbox import draining, registry
from outbox.aliases import outboxes
from outbox.draining import Drained, can_lock, drain
from outbox.models import Message, Receipt
from outbox.receipts import carry, prune
from outbox.registry import MORE, OutboxError, handler
from outbox.sending import send

pytestmark = pytest.mark.django_db  # where nothing is committed, so nothing is done after a commit
committing = pytest.mark.django_db(transaction=True)

SOURCE, RECEIVER = "orders_db", "default"


class Killed(BaseException):
    """The process ends here: what is committed stays, and nothing else is done."""


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "HANDLERS", dict(registry.HANDLERS))

    @handler("test.name", on="catalogue")
    def name_category(payload: Any) -> None:
        """Twice would be twice."""
        Category.objects.create(slug=f"{payload}-{Category.objects.count()}", name=payload)

    @handler("test.fail", on="catalogue")
    def fail(payload: Any) -> None:
        Category.objects.create(slug="half-done", name=payload)
        raise ZeroDivisionError(payload)


@pytest.fixture
def later(settings: LazySettings) -> None:
    """Nothing is done after the commit; that is left to `drain`."""
    settings.OUTBOX_DRAIN_AFTER_COMMIT = False


def send_and_fail(payload: str, around: type[Model] = Order) -> None:
    """The transaction around the message, or around that of the message, is rolled back."""
    with atomic_for(around):
        with atomic_for(Order):
            send("test.name", payload, model=Order)
        raise ZeroDivisionError


def send_in_transaction(*payloads: str, to: str = "test.name") -> None:
    with atomic_for(Order):
        for payload in payloads:
            send(to, payload, model=Order)


def names() -> list[str]:
    return list(Category.objects.order_by("pk").values_list("name", flat=True))


def messages() -> QuerySet[Message]:
    return Message.objects.using(SOURCE)


# Sending


@committing
def test_a_message_is_handled_after_the_commit() -> None:
    with atomic_for(Order):
        send("test.name", "tea", model=Order)
        assert names() == []

    assert names() == ["tea"]
    assert not messages().exists()


@committing
def test_a_message_is_rolled_back_with_what_it_tells_of() -> None:
    with pytest.raises(ZeroDivisionError):
        send_and_fail("tea")

    assert names() == []
    assert not messages().exists()


def test_in_a_test_case_a_message_is_handled_by_its_hooks(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(using=SOURCE, execute=True):
        send("test.name", "tea", using=SOURCE)
        assert names() == []

    assert names() == ["tea"]


@committing
def test_a_message_outside_of_a_transaction_is_refused() -> None:
    with pytest.raises(OutboxError, match=r"outside of a transaction on 'orders_db'.*atomic_for"):
        send("test.name", "tea", using=SOURCE)


@pytest.mark.parametrize(
    ("name", "complaint"), [("test.nmae", "no handler 'test.nmae'.*test.name"), ("test.lost", "No installed app")]
)
def test_a_message_that_nobody_could_handle_is_refused(name: str, complaint: str) -> None:
    handler("test.lost", on="catalog")(lambda payload: None)

    with pytest.raises((OutboxError, LookupError), match=complaint), atomic_for(Order):
        send(name, "tea", model=Order)


def test_a_message_holds_what_json_has_a_text_for() -> None:
    with atomic_for(Order):
        send("test.name", date(2026, 1, 2), model=Order)

    drain(SOURCE)
    assert names() == ["2026-01-02"]


def test_handlers_are_found_by_their_modules_name() -> None:
    with patch("outbox.apps.autodiscover_modules") as find:
        apps.get_app_config("outbox").ready()

    find.assert_called_once_with("handlers")


def test_two_handlers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"There is a handler 'test\.name' already"):
        handler("test.name", on="orders")(lambda payload: None)


def test_the_outbox_is_in_every_database_that_holds_tables(settings: LazySettings) -> None:
    assert set(outboxes()) == set(settings.DATABASE_APPS_MAPPING.values())
    assert all(Message.objects.using(alias).count() == 0 for alias in outboxes())


def test_a_database_that_no_app_lives_on_has_no_outbox(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be somebody else's."""
    settings.DATABASE_APPS_MAPPING = dict.fromkeys(settings.DATABASE_APPS_MAPPING, "auth_db")
    for alias in set(usable_aliases()) - {"auth_db"}:
        monkeypatch.setattr(connections[alias].introspection, "table_names", lambda: ["their_table"])

    assert outboxes() == ["auth_db"]


def test_a_database_that_is_only_read_has_no_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a standby, which has a copy of one."""
    monkeypatch.setitem(connections.settings[SOURCE], "READ_ONLY", True)

    assert SOURCE not in outboxes()


def test_a_copy_of_a_database_has_the_tables_of_an_outbox_and_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = complete({**connections.settings[SOURCE], "TEST": {"MIRROR": SOURCE}})
    monkeypatch.setitem(connections.settings, "copy", copy)

    assert "copy" in usable_aliases()
    assert "copy" not in outboxes()


def test_messages_where_every_app_has_moved_away_are_found_with_the_command_that_handles_them(
    settings: LazySettings,
) -> None:
    send_in_transaction("tea")
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, "orders": "auth_db"}

    [found] = (one for one in Inspector().inspect(SOURCE).findings if "outbox_message" in one.what)

    assert "1 row in outbox_message" in found.what
    assert found.commands == (f"python manage.py drain_outbox --alias={SOURCE}",)


def test_a_message_that_was_handled_before_its_receiver_moved_is_not_handled_again(settings: LazySettings) -> None:
    """`carry` is what a move does about it; done twice it is as if done once."""
    send_in_transaction("tea", "coffee")
    with patch.object(Message, "delete", side_effect=Killed), pytest.raises(Killed):
        drain(SOURCE)

    carry(RECEIVER, "auth_db")
    carry(RECEIVER, "auth_db")
    registry.HANDLERS["test.name"] = registry.HANDLERS["test.name"]._replace(on="accounts")

    assert drain(SOURCE) == Drained(handled=2)
    assert names() == ["tea", "coffee"]


def test_no_receipt_stays_behind_while_an_outbox_can_not_be_asked_for_its_message() -> None:
    send_in_transaction("tea")
    drain(SOURCE)
    [receipt] = Receipt.objects.using(RECEIVER)

    with patch("outbox.receipts.outboxes", side_effect=OperationalError("down")):
        carry(RECEIVER, "auth_db")

    assert list(Receipt.objects.using("auth_db")) == [receipt]


def test_a_database_whose_tables_are_somebody_elses_has_no_outbox(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, "orders": "legacy"}
    assert holds_tables("legacy")

    for model in (Order, OrderLine):
        monkeypatch.setattr(model._meta, "managed", False)

    assert not holds_tables("legacy")


# Draining


def test_messages_are_handled_in_their_order() -> None:
    send_in_transaction("tea", "coffee", "cocoa")
    assert names() == []

    assert drain(SOURCE) == Drained(handled=3)
    assert names() == ["tea", "coffee", "cocoa"]
    assert not messages().exists()


def test_a_handler_that_fails_is_undone_put_off_and_stops_no_other() -> None:
    send_in_transaction("salt", to="test.fail")
    send_in_transaction("tea")

    assert drain(SOURCE) == Drained(handled=1, failed=1)
    assert drain(SOURCE) == Drained()

    assert names() == ["tea"]
    failed = messages().get()
    assert (failed.attempts, failed.last_error) == (1, "ZeroDivisionError: salt")
    assert failed.next_try_at > timezone.now()


def test_it_is_put_off_for_longer_each_time_and_for_an_hour_at_most() -> None:
    send_in_transaction("salt", to="test.fail")
    pauses = []
    for _ in range(15):
        messages().update(next_try_at=timezone.now())
        drain(SOURCE)
        pauses.append(messages().get().next_try_at - timezone.now())

    assert pauses[0] < pauses[1] < pauses[2]
    assert timedelta(minutes=59) < pauses[-1] <= timedelta(hours=1)


def test_any_error_of_a_handler_can_be_noted() -> None:
    @handler("test.complain", on="catalogue")
    def complain(payload: Any) -> None:
        raise ZeroDivisionError(payload)

    send_in_transaction("\0" + "salt" * 10_000, to="test.complain")

    assert drain(SOURCE) == Drained(failed=1)

    noted = messages().get().last_error
    assert noted.startswith("ZeroDivisionError: saltsalt")
    assert len(noted) == 1000


@committing
@pytest.mark.usefixtures("later")
def test_a_message_that_another_process_is_at_work_on_is_left_to_it() -> None:
    if not can_lock(SOURCE):
        pytest.skip("This engine locks no rows. Receipts keep a message from being handled twice, as they do below.")
    send_in_transaction("tea", "coffee")
    other = connections[SOURCE].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM outbox_message ORDER BY id LIMIT 1 FOR UPDATE")
            assert drain(SOURCE) == Drained(handled=1)
        other.rollback()
    finally:
        other.close()

    assert names() == ["coffee"]
    assert drain(SOURCE) == Drained(handled=1)


def test_what_died_after_the_receivers_commit_is_not_done_twice() -> None:
    send_in_transaction("tea")

    with patch.object(Message, "delete", side_effect=Killed), pytest.raises(Killed):
        drain(SOURCE)
    assert names() == ["tea"]
    assert messages().exists()

    assert drain(SOURCE) == Drained(handled=1)
    assert names() == ["tea"]
    assert not messages().exists()


def test_what_died_before_the_receivers_commit_is_done_again() -> None:
    send_in_transaction("tea")

    with patch("outbox.draining.Receipt.__init__", side_effect=Killed), pytest.raises(Killed):
        drain(SOURCE)
    assert names() == []

    assert drain(SOURCE) == Drained(handled=1)
    assert names() == ["tea"]


@committing
def test_what_died_before_the_message_was_handled_is_left_to_the_next_drain() -> None:
    with patch("outbox.draining.drain_messages", side_effect=Killed), pytest.raises(Killed):
        send_in_transaction("tea")
    assert names() == []

    drain(SOURCE)
    assert names() == ["tea"]


@committing
def test_a_handler_that_fails_after_the_commit_does_not_fail_the_sender() -> None:
    send_in_transaction("salt", to="test.fail")

    assert messages().get().attempts == 1


@committing
@pytest.mark.usefixtures("later")
def test_all_of_it_may_be_left_to_the_command() -> None:
    send_in_transaction("tea")

    assert names() == []
    assert messages().exists()


def test_a_handler_may_commit_its_work_in_parts() -> None:
    left = [3, 2, 1]

    @handler("test.parts", on="catalogue")
    def work(payload: Any) -> object:
        Category.objects.create(slug=f"part-{left.pop()}", name=payload)
        return MORE if left else None

    send_in_transaction("tea", to="test.parts")

    assert drain(SOURCE) == Drained(handled=1)
    assert names() == ["tea"] * 3
    assert Receipt.objects.using(RECEIVER).count() == 1


def test_a_message_to_ones_own_database_is_handled_too() -> None:
    handler("test.own", on="orders")(lambda payload: OrderFactory.create(customer__username=payload))
    send_in_transaction("ada", to="test.own")

    assert drain(SOURCE) == Drained(handled=1)
    assert Order.objects.count() == 1


@committing
def test_a_message_is_handled_where_the_routers_say_in_whatever_block_it_was_sent() -> None:
    with in_database(SOURCE, write=True):
        send_in_transaction("tea")

    assert names() == ["tea"]


@committing
def test_a_receiver_that_is_in_a_transaction_gets_its_message_after_it() -> None:
    """It may be rolled back, and the message would be gone."""
    with atomic_for(Category):
        send_in_transaction("tea")
        assert names() == []
    assert names() == ["tea"]

    with pytest.raises(ZeroDivisionError):
        send_and_fail("coffee", around=Category)
    assert names() == ["tea"]
    assert drain(SOURCE) == Drained(handled=1)
    assert names() == ["tea", "coffee"]


def test_a_message_is_put_off_while_its_receiver_is_in_a_transaction() -> None:
    send_in_transaction("tea")

    with atomic_for(Category):
        assert drain(SOURCE) == Drained(failed=1)

    assert names() == []
    assert "inside a transaction on 'default'" in messages().get().last_error


@committing
def test_a_database_that_fails_after_the_commit_does_not_fail_the_sender() -> None:
    with patch("outbox.draining.drain_messages", side_effect=OperationalError("gone")):
        send_in_transaction("tea")

    assert messages().exists()


@committing
def test_a_receiver_that_cannot_be_connected_to_holds_up_one_commit_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Mock(side_effect=OperationalError("timeout expired"))
    monkeypatch.setattr(draining, "_resting_until", {})
    monkeypatch.setattr(connections[RECEIVER], "connection", None)
    monkeypatch.setattr(connections[RECEIVER], "connect", connect)
    for _ in range(3):
        send_in_transaction("Tea")
    assert connect.call_count == 1

    draining._resting_until[RECEIVER] -= draining.REST
    send_in_transaction("Tea")

    assert connect.call_count == 2
    assert len(messages()) == 4


def test_an_outbox_is_not_drained_inside_a_transaction() -> None:
    with pytest.raises(OutboxError, match="inside a transaction on 'orders_db'"), atomic_for(Order):
        drain(SOURCE)


@committing
def test_a_message_that_a_handler_sends_is_handled_after_it() -> None:
    order: list[str] = []

    @handler("test.first", on="catalogue")
    def first(payload: Any) -> None:
        send("test.second", payload, using=RECEIVER)
        order.append("first")

    handler("test.second", on="orders")(lambda payload: order.append("second"))
    send_in_transaction("tea", to="test.first")

    assert order == ["first", "second"]
    assert not Message.objects.using(RECEIVER).exists()


@committing
def test_a_chain_of_messages_is_no_deeper_a_stack_than_one() -> None:
    depths: list[int] = []

    @handler("test.chain", on="orders")
    def chain(payload: str) -> None:
        depths.append(len(inspect.stack(0)))
        if payload:
            send("test.chain", payload[1:], model=Order)

    send_in_transaction("tea", to="test.chain")

    assert len(depths) == 4
    assert len(set(depths)) == 1


def test_receipts_are_removed_when_they_are_old_and_their_message_is_gone() -> None:
    send_in_transaction("tea", "coffee")
    with patch.object(Message, "delete", side_effect=Killed), pytest.raises(Killed):
        drain(SOURCE)
    receipts = Receipt.objects.using(RECEIVER)
    kept = messages().first()
    receipts.create(key="00000000-0000-0000-0000-000000000001")
    assert prune(RECEIVER) == 0

    receipts.update(handled_at=timezone.now() - timedelta(days=1))

    assert prune(RECEIVER) == 1
    assert kept is not None
    assert receipts.get().key == kept.key
