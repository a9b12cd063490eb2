"""A request closes the connections it opened to its tenant; a thread that serves none keeps one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db.utils import ConnectionHandler

from dbrouting import mapping, tenant_connections
from dbrouting.mapping import DatabaseMapping

ONE, OTHER = "tenant_one", "tenant_other"


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[ConnectionHandler]:
    """Two tenants' files, unlisted; any thread's connections are its own."""

    def resolve(alias: str) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / f"{alias}.sqlite3")}

    handler = ConnectionHandler(DatabaseMapping({"default": {}}, resolve))
    monkeypatch.setattr(mapping, "connections", handler)
    monkeypatch.setattr(tenant_connections, "connections", handler)
    with django_db_blocker.unblock():
        yield handler
    handler.close_all()


def test_a_request_closes_the_connections_it_opened_to_tenants(databases: ConnectionHandler) -> None:
    connection = databases[ONE]
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is None
    assert databases[ONE] is not connection


def test_a_connection_that_may_persist_stays_open(databases: ConnectionHandler) -> None:
    connection = databases[ONE]
    connection.settings_dict["CONN_MAX_AGE"] = None
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is not None
    assert databases[ONE] is connection
    connection.close()


def test_a_connection_under_an_alias_that_nobody_knows_is_left_alone(databases: ConnectionHandler) -> None:
    """Django opens such ones itself, to make a database while there is none to connect to."""
    connection = databases[ONE].copy(alias="__no_db__")
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is not None
    connection.close()


def test_a_thread_that_serves_no_requests_keeps_one_connection_to_a_tenant(databases: ConnectionHandler) -> None:
    def visit() -> list[bool]:
        for alias in (ONE, OTHER):
            databases[alias].ensure_connection()
        return [databases[alias].connection is not None for alias in (ONE, OTHER)]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(visit).result() == [False, True]
