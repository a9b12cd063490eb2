"""Aliases can be known without being listed, and what they open is closed with the request."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db.utils import ConnectionHandler
from django.utils.connection import ConnectionDoesNotExist

from dbrouting import mapping
from dbrouting.mapping import DatabaseMapping


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[ConnectionHandler]:
    """One listed alias, and one for each name that starts with "archive_"; any thread's connections are its own."""

    def resolve(alias: str) -> dict[str, Any] | None:
        if not alias.startswith("archive_"):
            return None
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / f"{alias}.sqlite3")}

    handler = ConnectionHandler(DatabaseMapping({"default": {}}, resolve, lambda: ["archive_1", "archive_2"]))
    monkeypatch.setattr(mapping, "connections", handler)
    with django_db_blocker.unblock():
        yield handler
    handler.close_all()


def test_look_up_finds_what_iteration_does_not_list(databases: ConnectionHandler) -> None:
    assert list(databases) == ["default"]
    assert "archive_1" in databases.settings
    assert "archive" not in databases.settings
    assert databases["archive_1"].alias == "archive_1"


def test_an_unlisted_configuration_has_every_key_django_expects(databases: ConnectionHandler) -> None:
    assert databases.settings["archive_1"].keys() >= {"ATOMIC_REQUESTS", "CONN_MAX_AGE", "OPTIONS", "TIME_ZONE", "TEST"}


def test_an_unknown_alias_does_not_exist(databases: ConnectionHandler) -> None:
    with pytest.raises(ConnectionDoesNotExist):
        databases["elsewhere"]
    with pytest.raises(KeyError):
        databases.settings["elsewhere"]


def test_a_request_closes_the_unlisted_connections_it_opened(databases: ConnectionHandler) -> None:
    connection = databases["archive_1"]
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is None
    assert databases["archive_1"] is not connection


def test_a_connection_that_may_persist_stays_open(databases: ConnectionHandler) -> None:
    connection = databases["archive_1"]
    connection.settings_dict["CONN_MAX_AGE"] = None
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is not None
    assert databases["archive_1"] is connection
    connection.close()


def test_a_connection_under_an_alias_that_nobody_knows_is_left_alone(databases: ConnectionHandler) -> None:
    """Django opens such ones itself, to make a database while there is none to connect to."""
    connection = databases["archive_1"].copy(alias="__no_db__")
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is not None
    connection.close()


def test_a_thread_that_serves_no_requests_keeps_one_unlisted_connection(databases: ConnectionHandler) -> None:
    def visit() -> list[bool]:
        for alias in ("archive_1", "archive_2"):
            databases[alias].ensure_connection()
        return [databases[alias].connection is not None for alias in ("archive_1", "archive_2")]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(visit).result() == [False, True]


def test_a_mapping_can_be_copied(databases: ConnectionHandler) -> None:
    copied = copy.deepcopy(databases.settings)

    assert copied == databases.settings
    assert "archive_1" in copied
