"""A request closes the connections it opened to its tenant; who goes from tenant to tenant keeps one."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished, request_started
from django.db.backends.sqlite3 import base
from django.db.utils import ConnectionHandler

from dbrouting import mapping, tenant_connections
from dbrouting.mapping import DatabaseMapping
from dbrouting.tenant_backend import stock, wrapper

ONE, OTHER = "tenant_one", "tenant_other"


class DatabaseWrapper(wrapper.Stocked, base.DatabaseWrapper):
    """Of files, whatever the project's engine."""


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[ConnectionHandler]:
    """Two tenants' files, unlisted; any thread's connections are its own."""

    def resolve(alias: str) -> dict[str, Any]:
        return {"ENGINE": "stocked_files", "NAME": str(tmp_path / f"{alias}.sqlite3"), "CONN_MAX_AGE": 0}

    handler = ConnectionHandler(DatabaseMapping({"default": {}}, resolve))
    monkeypatch.setitem(sys.modules, "stocked_files.base", sys.modules[__name__])
    for module in (mapping, tenant_connections, wrapper):
        monkeypatch.setattr(module, "connections", handler)
    with django_db_blocker.unblock():
        yield handler
    handler.close_all()


def test_a_request_closes_the_connections_it_opened_to_tenants(databases: ConnectionHandler) -> None:
    connection = databases[ONE]
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is None
    assert databases[ONE] is not connection


def test_no_connection_is_kept_by_one_tenant_alone(databases: ConnectionHandler) -> None:
    databases[ONE].settings_dict["CONN_MAX_AGE"] = 60

    with pytest.raises(ImproperlyConfigured, match="CONN_MAX_AGE = 0"):
        databases[ONE].ensure_connection()


def test_a_connection_under_an_alias_that_nobody_knows_is_left_alone(databases: ConnectionHandler) -> None:
    """Django opens such ones itself, to make a database while there is none to connect to."""
    connection = databases[ONE].copy(alias="__no_db__")
    connection.ensure_connection()

    request_finished.send(sender=None)

    assert connection.connection is not None
    connection.close()


def test_who_goes_to_another_tenant_gives_back_what_nothing_is_open_in(databases: ConnectionHandler) -> None:
    def visit() -> list[bool]:
        for alias in (ONE, OTHER):
            databases[alias].ensure_connection()
        return [databases[alias].connection is not None for alias in (ONE, OTHER)]

    assert visit() == [False, True]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(visit).result() == [False, True]


def test_what_one_tenant_gave_back_serves_that_tenant_alone(
    databases: ConnectionHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = stock.Stock(5)
    monkeypatch.setattr(DatabaseWrapper, "stock", staticmethod(lambda: shelf))
    monkeypatch.setattr(DatabaseWrapper, "leave", lambda self, connection: True)

    def visit(alias: str) -> Any:
        databases[alias].ensure_connection()
        connection = databases[alias].connection
        databases[alias].close()
        return connection

    one = visit(ONE)
    assert visit(OTHER) is not one
    assert visit(ONE) is one

    for place in tuple(shelf._idle):
        shelf.close(place)


def test_an_alias_that_was_removed_is_not_made_anew_for_that(databases: ConnectionHandler) -> None:
    databases[ONE].ensure_connection()
    databases[ONE].close()
    del databases[ONE]

    databases[OTHER].ensure_connection()

    assert not hasattr(databases._connections, ONE)  # type: ignore[attr-defined]  # Django's own, no stub


@pytest.mark.no_tenant
def test_what_is_open_stays_open_while_another_tenant_is_visited(databases: ConnectionHandler) -> None:
    with databases[ONE].cursor() as cursor:
        cursor.execute("SELECT 1 UNION SELECT 2")
        databases[OTHER].set_autocommit(False)
        databases["tenant_third"].ensure_connection()
        assert cursor.fetchone() == (1,)

    assert databases[OTHER].connection is not None


def test_a_forked_process_leaves_its_parents_connections_alone(
    databases: ConnectionHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a server that loads the application first and forks then, else the first request of each worker fails."""
    parents = databases[ONE]
    parents.ensure_connection()
    with monkeypatch.context() as child:
        child.setattr(stock, "_stocks", dict(stock._stocks))
        child.setattr(os, "getpid", lambda: -1)
        tenant_connections.leave_to_parent()

        request_started.send(sender=None)
        databases[ONE].ensure_connection()

        assert databases[ONE].connection is not parents.connection
        databases[ONE].close()
    assert parents.is_usable()
    parents.close()
