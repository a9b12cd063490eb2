"""``replication_status`` tells of each server how it is, how late, and what to do about it."""

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from config import engine
from dbrouting import replication, replication_status
from dbrouting.consistency import Position
from dbrouting.probing import connection_of_its_own
from dbrouting.replicas import primary_alias, replica_weights

pytestmark = pytest.mark.django_db

REPLICA = next(iter(replica_weights()))


def position(number: int, cluster: str = "7") -> Position:
    return Position(cluster, (("", number),))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the primary says, and the first replica, each time that it is asked: it is a server of its own."""
    answers = SimpleNamespace(written=position(100), replayed=[position(100)])

    def replayed(cursor: object) -> Position:
        following: list[Position] = answers.replayed
        return following.pop(0) if len(following) > 1 else following[0]

    monkeypatch.setattr(replication, "written", lambda cursor: answers.written)
    monkeypatch.setattr(replication, "replayed", replayed)
    monkeypatch.setattr(replication_status, "leads_to_the_primary", lambda connection: connection.alias != REPLICA)
    monkeypatch.setattr(engine, "ASK_TAKES_WRITES", "SELECT 0")
    return answers


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, servers: SimpleNamespace) -> set[str]:
    """The aliases whose servers don't answer: add some."""
    aliases: set[str] = set()

    def refuse(*args: object) -> None:
        raise OperationalError("connection refused")

    def connection_of(alias: str) -> Any:
        connection = connection_of_its_own(alias)
        if alias in aliases:
            monkeypatch.setattr(connection, "get_new_connection", refuse)
        return connection

    monkeypatch.setattr(replication_status, "connection_of_its_own", connection_of)
    return aliases


def run_command(*arguments: str) -> tuple[int, str]:
    """The exit code, and what is printed."""
    out = StringIO()
    try:
        call_command("replication_status", *arguments, stdout=out)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


def report(*arguments: str, alias: str = REPLICA) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is said of one server."""
    code, output = run_command("--json", *arguments)
    return code, next(one for one in json.loads(output)["databases"] if one["alias"] == alias)


def test_replicas_that_are_the_primary_itself_are_well() -> None:
    """As those of the tests are."""
    code, output = run_command()
    heading, *lines = output.splitlines()

    assert code == 0
    assert heading.split()[:3] == ["alias", "role", "state"]
    assert [line.split()[:3] for line in lines] == [
        [primary_alias(), "primary", "well"],
        *([alias, "replica", "well"] for alias in replica_weights()),
    ]


@pytest.mark.usefixtures("servers")
def test_one_that_has_everything_is_not_late() -> None:
    """However long ago the primary wrote last."""
    code, found = report()

    assert code == 0
    assert (found["lag"], found["lag_seconds"], found["arrived"]) == (0, 0, True)
    assert found["weight"] == replica_weights()[REPLICA]


def test_one_that_catches_up_is_as_late_as_that_took(servers: SimpleNamespace) -> None:
    servers.replayed = [position(60), position(99), position(100)]

    code, found = report()

    assert code == 0
    assert (found["lag"], found["arrived"]) == (40, True)
    assert found["lag_seconds"] >= 2 * replication_status.PAUSE


def test_one_that_does_not_catch_up_is_not_eligible(servers: SimpleNamespace, settings: Any) -> None:
    servers.replayed = [position(60)]
    settings.REPLICA_MAX_LAG_SECONDS = 0.1

    code, found = report("--wait=0.1")

    assert (code, found["state"], found["eligible"], found["arrived"]) == (1, "late", False, False)
    assert f"python manage.py dbshell --database={REPLICA}" in found["why_not"]
    assert "REPLICA_MAX_LAG_SECONDS" in found["why_not"]


def test_who_does_not_wait_long_enough_learns_that_it_is_later_than_that(servers: SimpleNamespace) -> None:
    servers.replayed = [position(60)]

    code, output = run_command("--wait=0")

    assert code == 0
    assert "> 0.0" in output


def test_one_that_was_promoted_is_not_eligible(servers: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ASK_TAKES_WRITES", "SELECT 1")

    code, found = report()

    assert (code, found["state"], found["eligible"]) == (1, "promoted", False)
    assert "Let entry 1 of REPLICA_URLS in .env lead to a copy" in found["why_not"]


def test_one_of_another_cluster_is_not_eligible(servers: SimpleNamespace) -> None:
    servers.replayed = [position(100, cluster="8")]

    code, found = report()

    assert (code, found["state"], found["eligible"]) == (1, "foreign", False)


def test_one_that_cannot_be_reached_is_not_eligible(unreachable: set[str]) -> None:
    unreachable.add(REPLICA)

    code, found = report()

    assert (code, found["state"], found["eligible"]) == (1, "unreachable", False)
    assert f"{REPLICA!r} can't be reached: connection refused" in found["why_not"]
    assert "REPLICA_URLS" in found["why_not"]


def test_without_the_primary_the_exit_code_is_another_and_the_replicas_are_looked_at(unreachable: set[str]) -> None:
    unreachable.add(primary_alias())

    code, found = report()

    assert code == 2
    assert (found["state"], found["lag"], found["lag_seconds"]) == ("well", None, None)


@pytest.mark.usefixtures("servers")
def test_a_primary_that_refuses_to_write_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ASK_READ_ONLY", "SELECT 1")

    code, found = report(alias=primary_alias())

    assert (code, found["state"]) == (2, "read-only")
    assert "lead to the primary" in found["why_not"]


@pytest.mark.usefixtures("servers")
def test_without_positions_nothing_is_measured(settings: Any) -> None:
    settings.REPLICA_POSITIONS = False

    code, found = report()

    assert (code, found["state"], found["lag"], found["lag_seconds"]) == (0, "well", None, None)


def test_reasons_follow_the_table(unreachable: set[str]) -> None:
    unreachable.add(REPLICA)

    _, output = run_command()

    assert f"\n{REPLICA}: The database {REPLICA!r} can't be reached" in output


@pytest.mark.parametrize("wait", ["soon", "-1", "inf", "nan"])
def test_a_wrong_time_to_wait_is_named(wait: str) -> None:
    with pytest.raises(CommandError, match=f"{wait!r} is no number of seconds"):
        run_command(f"--wait={wait}")


def test_every_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def connection_of(alias: str) -> Any:
        connection = connection_of_its_own(alias)
        close = connection.close

        def note() -> None:
            closed.append(alias)
            close()

        monkeypatch.setattr(connection, "close", note)
        return connection

    monkeypatch.setattr(replication_status, "connection_of_its_own", connection_of)

    run_command()

    assert set(closed) == {primary_alias(), *replica_weights()}


@pytest.mark.django_db(transaction=True)
def test_the_real_servers_are_well(replica_servers: list[str]) -> None:
    code, output = run_command()

    assert code == 0, output
