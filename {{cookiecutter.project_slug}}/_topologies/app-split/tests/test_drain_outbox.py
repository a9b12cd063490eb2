"""`drain_outbox`: every outbox, once or as a service; what stands in the way of one holds up no other."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from io import StringIO
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.models import Category
from dbrouting.reachability import require_reachable
from dbrouting.sql import atomic_for
from orders.models import Order
from outbox import registry
from outbox.aliases import outboxes
from outbox.models import Message
from outbox.registry import MORE, handler
from outbox.rounds import Outages, Stop
from outbox.sending import send

pytestmark = pytest.mark.django_db  # where nothing is committed, so nothing is done after a commit

SOURCE, RECEIVER = "orders_db", "default"


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "HANDLERS", dict(registry.HANDLERS))

    @handler("test.name", on="catalogue")
    def name_category(payload: Any) -> None:
        Category.objects.create(slug=payload, name=payload)

    @handler("test.fail", on="catalogue")
    def fail(payload: Any) -> None:
        raise ZeroDivisionError(payload)

    @handler("test.stop", on="catalogue")
    def stop(payload: Any) -> object:
        """As whoever runs this process would; what is under way ends."""
        Category.objects.create(slug=f"{payload}-{Category.objects.count()}", name=payload)
        os.kill(os.getpid(), signal.Signals[payload])
        return MORE


@pytest.fixture
def down() -> Iterator[set[str]]:
    """The aliases in it don't answer."""
    aliases: set[str] = set()

    def require(alias: str, then: str) -> None:
        if alias in aliases:
            raise CommandError(f"The database {alias!r} can't be reached.")
        require_reachable(alias, then)

    with patch("outbox.rounds.require_reachable", require):
        yield aliases


def send_to(name: str, *payloads: str) -> None:
    with atomic_for(Order):
        for payload in payloads:
            send(name, payload, model=Order)


def names() -> list[str]:
    return list(Category.objects.order_by("pk").values_list("name", flat=True))


def drained(*arguments: str, ends: type[BaseException] | None = None) -> str:
    output = StringIO()
    with pytest.raises(ends) if ends else nullcontext():
        call_command("drain_outbox", *arguments, stdout=output, stderr=output)
    return output.getvalue()


def watched(*rounds: Callable[[], object]) -> str:
    """What is said while each of them happens in a pause, and the last pause ends it."""
    left = list(rounds)

    def wait(stop: Stop, seconds: float) -> None:
        assert seconds == 5
        if left:
            left.pop(0)()
        else:
            stop.ask(signal.SIGTERM)

    with patch.object(Stop, "wait", wait):
        return drained("--watch=5")


def test_every_outbox_is_drained_until_nothing_is_left() -> None:
    @handler("test.chain", on="catalogue")
    def chain(payload: Any) -> None:
        send("test.user", payload, using=RECEIVER)

    handler("test.user", on="accounts")(lambda payload: UserFactory.create(username=payload))
    send_to("test.chain", "ada")

    assert drained() == "Handled: 2.\n"
    assert User.objects.filter(username="ada").exists()


def test_it_fails_while_a_message_has_failed_and_says_why() -> None:
    send_to("test.fail", "salt")

    output = drained(ends=SystemExit)

    assert "Left on orders_db: 1" in output
    assert "test.fail: ZeroDivisionError: salt" in output
    assert "drain_outbox --retry" in output


def test_what_failed_is_tried_at_once_when_its_cause_is_mended() -> None:
    send_to("test.fail", "salt")
    drained(ends=SystemExit)
    handler_of_salt = registry.HANDLERS["test.name"]
    registry.HANDLERS["test.fail"] = handler_of_salt

    assert drained(ends=SystemExit).startswith("Handled: 0.")
    assert drained("--retry") == "Handled: 1.\n"
    assert names() == ["salt"]


def test_it_prints_json_of_the_outboxes_that_are_named() -> None:
    send_to("test.name", "tea")

    assert json.loads(drained("--alias=auth_db", "--json"))["handled"] == 0
    found = json.loads(drained("--alias=orders_db", "--json"))
    assert (found["handled"], found["outboxes"][0]["alias"], found["outboxes"][0]["waiting"]) == (1, "orders_db", 0)


def test_an_outbox_that_is_not_there_is_refused() -> None:
    with pytest.raises(CommandError, match=r"No outbox is on nowhere. They are on: default, auth_db, "):
        call_command("drain_outbox", "--alias=nowhere")


@pytest.mark.parametrize("pause", ["-1", "nan", "often"])
def test_a_pause_that_is_none_is_refused(pause: str) -> None:
    with pytest.raises(CommandError, match=f"--watch: '{pause}' is no number of seconds"):
        call_command("drain_outbox", f"--watch={pause}")


def test_what_is_written_where_every_app_has_moved_away_is_handled(settings: LazySettings) -> None:
    send_to("test.name", "tea")
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, "orders": "auth_db"}

    assert drained() == "Handled: 1.\n"
    assert names() == ["tea"]


# Databases that are down


def test_a_database_that_is_down_is_told_of_after_the_others_were_drained(down: set[str]) -> None:
    down.add("auth_db")
    send_to("test.name", "tea")

    with pytest.raises(CommandError, match="'auth_db' can't be reached"):
        call_command("drain_outbox", stdout=StringIO())

    assert names() == ["tea"]


def test_a_database_that_fails_on_the_way_is_told_of_in_words() -> None:
    with (
        patch("outbox.rounds.drain", side_effect=OperationalError("no such table: outbox_message")),
        pytest.raises(CommandError, match=r"'orders_db' said: no such table.*\n.*migrate --database=orders_db"),
    ):
        call_command("drain_outbox", "--alias=orders_db", stdout=StringIO())


def test_a_file_that_is_not_there_is_not_made_by_looking() -> None:
    with (
        patch("outbox.rounds.is_missing_file", lambda connection: connection is connections["auth_db"]),
        pytest.raises(CommandError, match="'auth_db' can't be reached: there is no such file"),
    ):
        call_command("drain_outbox", stdout=StringIO())


def test_receipts_stay_while_an_outbox_can_not_be_asked_for_their_messages(down: set[str]) -> None:
    down.add("auth_db")

    with patch("outbox.rounds.prune") as prune:
        drained(ends=CommandError)
        assert not prune.called
        down.clear()
        drained()

    assert [alias for (alias,), _ in prune.call_args_list] == outboxes()


def test_receipts_stay_while_a_service_leaves_out_a_database_that_is_down(down: set[str]) -> None:
    down.add("auth_db")

    with patch("outbox.rounds.prune") as prune:
        watched(lambda: None)

    assert not prune.called


def test_a_database_is_not_blamed_for_another_that_has_gone_down_meanwhile() -> None:
    with patch("outbox.rounds.prune", side_effect=OperationalError("of another")):
        assert drained() == "Handled: 0.\n"


def test_a_service_says_once_that_a_database_is_down_and_goes_on(down: set[str]) -> None:
    down.add("auth_db")

    said = watched(lambda: send_to("test.name", "tea"), *[lambda: None] * 5, down.clear, *[lambda: None] * 9)

    assert said.count("The database 'auth_db' can't be reached.") == 1
    assert said.count("The database 'auth_db' answers again.") == 1
    assert names() == ["tea"]


def test_a_database_that_stays_down_is_asked_less_and_less_often() -> None:
    outages = Outages()
    asked = []

    for number in range(40):
        if due := outages.due(["auth_db"]):
            asked.append(number)
            list(outages.news(due, {"auth_db": "down"}))

    assert [later - earlier for earlier, later in pairwise(asked)] == [2, 4, 8, 8, 8, 8]


# The service


def test_a_service_looks_again_after_each_pause_and_says_what_it_did() -> None:
    said = watched(lambda: send_to("test.name", "tea"), lambda: None, lambda: send_to("test.name", "coffee"))

    assert said.splitlines() == ["Handled: 1.", "Handled: 1."]
    assert names() == ["tea", "coffee"]


def test_a_service_tells_of_failures_in_each_round() -> None:
    send_to("test.fail", "tea")

    assert watched(lambda: None).count("1 failed, and will be tried again.") == 2


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_service_that_is_stopped_finishes_what_it_has_begun_and_no_more(name: str) -> None:
    before = signal.getsignal(signal.Signals[name])
    send_to("test.stop", name)
    send_to("test.name", "tea")

    drained("--watch=5")

    assert names() == [name]
    assert Message.objects.using(SOURCE).count() == 2
    assert signal.getsignal(signal.Signals[name]) == before


def test_a_service_that_is_stopped_while_it_waits_ends_at_once() -> None:
    stop = Stop()
    stop.ask(signal.SIGTERM)

    stop.wait(3600)

    assert stop.is_asked


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Of a process that was started in the background: there it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_a_second_signal_is_not_waited_for() -> None:
    @handler("test.hang", on="catalogue")
    def hang(payload: Any) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    send_to("test.hang", "tea")

    drained("--watch=5", ends=KeyboardInterrupt)
