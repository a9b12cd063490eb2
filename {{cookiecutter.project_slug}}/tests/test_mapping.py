"""Aliases can be known without being listed."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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


def test_a_mapping_can_be_copied(databases: ConnectionHandler) -> None:
    copied = copy.deepcopy(databases.settings)

    assert copied == databases.settings
    assert "archive_1" in copied
