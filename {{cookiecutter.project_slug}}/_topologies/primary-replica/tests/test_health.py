"""A replica that isn't well is left out and comes back, and whoever should know is told once."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.db import OperationalError, connections
from django.test import AsyncClient, Client

from dbrouting import consistency, health, health_pages, replicas, replication
from dbrouting.consistency import Position
from dbrouting.health import PrimaryWatch, ReplicaWatch
from dbrouting.replicas import choose_replica, primary_alias, replica_weights

REPLICA = next(iter(replica_weights()))
SECRET = 'connection to "10.1.2.3", user "shop" failed:\n\tconnection refused'


def position(number: int) -> Position:
    return Position("7", (("", number),))


@pytest.fixture(autouse=True)
def _known_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that has just begun."""
    monkeypatch.setattr(replicas, "_left_out", {})
    monkeypatch.setattr(health, "_health", {})
    monkeypatch.setattr(health, "_seen", deque())
    monkeypatch.setattr(health, "_watches", [])
    monkeypatch.setattr(PrimaryWatch, "latest", None)


@pytest.fixture
def told() -> Iterator[list[tuple[str, str, str]]]:
    """What the signal said."""
    changes: list[tuple[str, str, str]] = []

    def note(alias: str, state: str, reason: str, **kwargs: object) -> None:
        changes.append((alias, state, reason))

    health.replica_state_changed.connect(note)
    yield changes
    health.replica_state_changed.disconnect(note)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the primary and the replica say, who are two servers."""
    answers = SimpleNamespace(written=position(100), replayed=position(100), takes_writes=False)
    monkeypatch.setattr(replication, "written", lambda cursor: answers.written)
    monkeypatch.setattr(replication, "replayed", lambda cursor: answers.replayed)
    monkeypatch.setattr(health, "answers_yes", lambda cursor, question: answers.takes_writes)
    monkeypatch.setattr(health, "leads_to_the_primary", lambda connection: False)
    return answers


def seen(number: int, seconds_ago: float) -> None:
    """The primary had come to ``number`` then, and this process saw it."""
    health._seen.append((time.monotonic() - seconds_ago, position(number)))


def chosen() -> set[str]:
    return {choose_replica() for _ in range(200)}


def look_at(alias: str) -> None:
    """What its thread does again and again."""
    watch = PrimaryWatch(alias) if alias == primary_alias() else ReplicaWatch(alias)
    watch.look()
    watch.connection.close()


def let_cooldown_pass() -> None:
    replicas.take_back(REPLICA)


# Out


def test_one_that_failed_is_chosen_no_more() -> None:
    health.note_failure(REPLICA, "down")

    others = set(replica_weights()) - {REPLICA}
    assert chosen() == (others or {primary_alias()})


def test_with_all_of_them_out_the_primary_is_read() -> None:
    for alias in replica_weights():
        health.note_failure(alias, "down")

    assert chosen() == {primary_alias()}


def test_many_threads_that_find_it_dead_tell_of_it_once(
    told: list[tuple[str, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    at_once = threading.Barrier(20)

    def fail() -> None:
        at_once.wait()
        health.note_failure(REPLICA, OperationalError(SECRET))

    threads = [threading.Thread(target=fail) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert told == [(REPLICA, "out", 'connection to "10.1.2.3", user "shop" failed: connection refused')]
    [record] = caplog.records
    assert (record.name, record.levelno) == ("dbrouting.health", logging.WARNING)
    assert REPLICA in record.getMessage()


def test_a_receiver_that_fails_breaks_no_read() -> None:
    def fail(**kwargs: object) -> None:
        raise RuntimeError("the pager is broken")

    health.replica_state_changed.connect(fail)
    try:
        health.note_failure(REPLICA, "down")
    finally:
        health.replica_state_changed.disconnect(fail)

    assert replicas.is_left_out(REPLICA)


# Back


def test_it_is_back_when_the_cooldown_is_over(
    told: list[tuple[str, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dbrouting.health")
    health.note_failure(REPLICA, "down")
    assert health.states()[REPLICA].state == "out"

    let_cooldown_pass()

    assert health.states()[REPLICA].state == "in"
    assert [state for _, state, _ in told] == ["out", "in"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_a_failure_of_one_that_is_out_begins_the_cooldown_anew_and_is_not_told(
    told: list[tuple[str, str, str]], settings: Any
) -> None:
    health.note_failure(REPLICA, "down")
    settings.REPLICA_COOLDOWN_SECONDS = 1000

    health.note_failure(REPLICA, "late")

    assert replicas._left_out[REPLICA] > time.monotonic() + 900
    assert len(told) == 1
    assert health.states()[REPLICA].reason == "late"


@pytest.mark.usefixtures("server")
@pytest.mark.django_db
def test_a_good_answer_does_not_shorten_the_cooldown() -> None:
    health.note_failure(REPLICA, "a read was cancelled")

    look_at(REPLICA)

    assert health.states()[REPLICA].state == "out"
    let_cooldown_pass()
    look_at(REPLICA)
    assert health.states()[REPLICA].state == "in"


# What is looked at


@pytest.mark.django_db
def test_one_that_is_promoted_is_out(server: SimpleNamespace) -> None:
    server.takes_writes = True

    look_at(REPLICA)

    assert "promoted" in health.states()[REPLICA].reason


@pytest.mark.django_db
def test_an_alias_of_the_primary_itself_takes_writes_and_is_well(
    server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.takes_writes = True
    monkeypatch.setattr(health, "leads_to_the_primary", lambda connection: True)

    look_at(REPLICA)

    assert health.states()[REPLICA].state == "in"


@pytest.mark.django_db
def test_one_that_cannot_be_reached_is_out_until_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the cooldown is: otherwise reads would find it dead between two checks."""
    connection = connections[REPLICA].copy()
    monkeypatch.setattr(health, "connection_of_its_own", lambda alias: connection)
    monkeypatch.setattr(connection, "get_new_connection", refuse)
    monkeypatch.setattr("django.conf.settings.REPLICA_CHECK_SECONDS", 60)
    monkeypatch.setattr("django.conf.settings.REPLICA_COOLDOWN_SECONDS", 0.1)

    look_at(REPLICA)

    assert "connection refused" in health._health[REPLICA].reason
    assert replicas._left_out[REPLICA] > time.monotonic() + 60


def refuse(*args: object) -> None:
    raise OperationalError(SECRET)


@pytest.mark.django_db
def test_an_error_of_our_own_ends_no_watch(monkeypatch: pytest.MonkeyPatch, server: SimpleNamespace) -> None:
    def stumble(cursor: object) -> Position:
        raise ZeroDivisionError

    monkeypatch.setattr(replication, "replayed", stumble)

    look_at(REPLICA)

    assert health.states()[REPLICA].reason == "ZeroDivisionError"


def test_one_that_hangs_is_reported_by_the_others() -> None:
    waiting = ReplicaWatch(REPLICA)
    waiting.asked_at = time.monotonic() - health.PATIENCE + 1
    waiting.complain_if_it_hangs()
    assert health.states()[REPLICA].state == "in"

    waiting.asked_at = time.monotonic() - health.PATIENCE - 1
    waiting.complain_if_it_hangs()

    assert "doesn't answer" in health.states()[REPLICA].reason


# Lag


@pytest.mark.parametrize(
    ("replayed", "seconds"), [(300, 0), (250, 10), (200, 10), (199, 20), (100, 20), (99, 30), (0, 30)]
)
def test_the_lag_is_the_age_of_the_oldest_that_is_missing(replayed: int, seconds: int) -> None:
    for number, seconds_ago in ((100, 30), (200, 20), (300, 10)):
        seen(number, seconds_ago)

    assert health.lag_of(position(replayed)) == pytest.approx(seconds, abs=5)


@pytest.mark.django_db
def test_beside_an_idle_primary_nobody_is_late(server: SimpleNamespace) -> None:
    """However long ago the last write was."""
    seen(100, seconds_ago=3600)

    look_at(primary_alias())
    look_at(REPLICA)

    assert health.states()[REPLICA][0:2] == ("in", "")
    assert health.states()[REPLICA].lag_seconds == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "state"), [(20, "in"), (40, "out")])
def test_one_that_is_too_late_is_out(server: SimpleNamespace, seconds: float, state: str) -> None:
    seen(101, seconds)

    look_at(REPLICA)

    assert health.states()[REPLICA].state == state
    assert health.states()[REPLICA].lag_seconds == pytest.approx(seconds, abs=5)


@pytest.mark.django_db
def test_while_the_primary_is_down_nobody_is_late(server: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody ever will have what it took along, and reads must go on."""
    seen(101, seconds_ago=40)
    for _ in range(2):
        PrimaryWatch(primary_alias()).judge(OperationalError("down"))
    assert len(caplog.records) == 1

    look_at(REPLICA)

    assert health.states()[REPLICA].state == "in"
    assert health.states()[REPLICA].lag_seconds is None


@pytest.mark.django_db
def test_what_a_former_primary_had_alone_makes_nobody_late(server: SimpleNamespace) -> None:
    seen(101, seconds_ago=40)
    server.replayed = position(99)

    look_at(primary_alias())
    look_at(REPLICA)

    assert health.states()[REPLICA].lag_seconds == pytest.approx(0, abs=5)


@pytest.mark.django_db
@pytest.mark.usefixtures("server")
def test_of_an_idle_primary_one_position_is_remembered() -> None:
    """What is remembered is limited: the first of many equal ones would be forgotten, and with it the lag."""
    for _ in range(3):
        look_at(primary_alias())

    assert len(health._seen) == 1


@pytest.mark.django_db
def test_nobody_knows_how_late_one_is_that_does_not_answer(
    server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(100, seconds_ago=1)
    watch = ReplicaWatch(REPLICA)
    watch.look()
    assert health.states()[REPLICA].lag_seconds == 0

    monkeypatch.setattr(watch.connection, "cursor", refuse)
    watch.look()

    assert health.states()[REPLICA].lag_seconds is None


@pytest.mark.django_db
def test_without_positions_only_the_server_itself_is_judged(server: SimpleNamespace, settings: Any) -> None:
    settings.REPLICA_POSITIONS = False

    look_at(primary_alias())
    look_at(REPLICA)

    assert health.states()[REPLICA] == health.Health()


def test_the_real_servers_are_well(replica_servers: list[str]) -> None:
    for alias in (primary_alias(), *replica_servers):
        look_at(alias)

    assert {alias: found.reason for alias, found in health.states().items()} == dict.fromkeys(replica_servers, "")


# The threads


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[str]:
    """The servers that a thread was started for."""
    aliases: list[str] = []
    monkeypatch.setattr(health.Watch, "start", lambda watch: aliases.append(watch.alias))
    settings.REPLICA_CHECK_SECONDS = 2
    return aliases


def test_in_tests_nobody_looks(started: list[str]) -> None:
    """The replicas are the primary there, whose test databases couldn't be dropped."""
    health.watch()

    assert started == []


def test_each_server_has_one_thread_in_each_process(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mail, "outbox")  # where tests are told from other processes
    servers = [primary_alias(), *replica_weights()]
    health.watch()
    health.watch()
    assert started == servers

    health.begin_anew()  # as after a fork
    health.watch()

    assert started == servers * 2


def test_with_zero_seconds_nobody_looks(started: list[str], monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.delattr(mail, "outbox")
    settings.REPLICA_CHECK_SECONDS = 0

    health.watch()

    assert started == []


# /healthz


@pytest.mark.django_db
def test_the_page_says_how_the_primary_and_the_replicas_are(site_client: Client) -> None:
    response = site_client.get("/healthz")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    page = response.json()
    assert page["primary"] == "ok"
    assert page["replicas"] == {
        alias: {"state": "in", "since": None, "lag_seconds": None, "reason": ""} for alias in replica_weights()
    }


@pytest.mark.django_db
def test_the_page_tells_no_hosts_users_or_errors(site_client: Client) -> None:
    health.note_failure(REPLICA, OperationalError(SECRET))

    page = site_client.get("/healthz").json()

    assert page["replicas"][REPLICA]["state"] == "out"
    assert "log" in page["replicas"][REPLICA]["reason"]
    assert "shop" not in str(page)
    assert "10.1.2.3" not in str(page)


@pytest.mark.django_db
def test_the_page_counts_the_tokens_that_were_of_no_use(site_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistency, "ignored", {"expired": 2})

    assert site_client.get("/healthz").json()["ignored_tokens"] == {"expired": 2}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases that the page connects to, none of which can be reached."""
    aliases: list[str] = []

    def unreachable(alias: str) -> Any:
        aliases.append(alias)
        connection = connections[alias].copy()
        monkeypatch.setattr(connection, "get_new_connection", refuse)
        return connection

    monkeypatch.setattr(health_pages, "connection_of_its_own", unreachable)
    return aliases


@pytest.mark.django_db
def test_the_page_fails_without_the_primary_and_asks_no_replica(site_client: Client, asked: list[str]) -> None:
    response = site_client.get("/healthz")

    assert (response.status_code, response.json()["primary"]) == (503, "unreachable")
    assert asked == [primary_alias()]


@pytest.mark.django_db
def test_the_page_is_for_load_balancers_without_tls(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert Client().get("/healthz").status_code == 200
    assert Client().get("/").status_code == 301


@pytest.mark.django_db(transaction=True)
def test_the_page_is_there_under_asgi(async_site_client: AsyncClient) -> None:
    assert async_to_sync(async_site_client.get)("/healthz").status_code == 200


# Astray


@pytest.fixture
def watch(server: SimpleNamespace) -> Iterator[ReplicaWatch]:
    """Of a replica that has been looked at once."""
    watching = ReplicaWatch(REPLICA)
    watching.look()
    yield watching
    watching.connection.close()


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "written", [position(99), Position("8", (("", 100),))], ids=["behind it", "of another cluster"]
)
def test_one_that_was_further_than_the_primary_is_astray(
    server: SimpleNamespace, watch: ReplicaWatch, told: list[tuple[str, str, str]], written: Position
) -> None:
    """After a failover it may follow the old primary, with rows that are lost, and nothing of the new ones."""
    server.written = written
    look_at(primary_alias())

    watch.look()

    [(_, state, reason)] = told
    assert (state, "follows, or followed, another" in reason) == ("out", True)


@pytest.mark.usefixtures("db")
def test_one_that_is_further_than_the_primary_was_before_is_not(
    server: SimpleNamespace, watch: ReplicaWatch, told: list[tuple[str, str, str]]
) -> None:
    server.written = position(101)
    look_at(primary_alias())
    server.written = server.replayed = position(105)

    watch.look()
    watch.look()

    assert told == []
