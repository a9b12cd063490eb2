"""Test helpers: every database usable in tests, and assertions about where queries went."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from django.core.signals import request_finished
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TestCase
from django.utils.functional import classproperty

from dbrouting.aliases import usable_aliases
from dbrouting.provisioning import close_pool

ADDRESS = ("HOST", "PORT", "USER", "PASSWORD")


@contextmanager
def assert_routed_to(alias: str) -> Iterator[list[str]]:
    """Every query of this thread inside the block goes to ``alias``, and there is at least one.

    Gives the list that the statements are gathered in. Sees listed aliases only.
    """
    statements: list[str] = []
    strays: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        asked = context["connection"].alias
        statements.append(sql)
        if asked != alias:
            strays.append(f"  {asked}: {sql}")
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for usable in usable_aliases():
            stack.enter_context(connections[usable].execute_wrapper(note))
        yield statements
    if strays:
        raise AssertionError(f"Not every query went to {alias!r}:\n" + "\n".join(strays))
    if not statements:
        raise AssertionError(f"No query was made; one on {alias!r} was expected.")


class EveryDatabaseTestCase(TestCase):
    """A ``TestCase`` that may use every database, also the ones that mirror another.

    Listing them as ``databases = "__all__"`` would take in a dummy ``default`` too, whose lack of transactions makes
    ``TestCase`` give up its rollback on all of them.
    """

    databases = classproperty(lambda cls: set(usable_aliases()))

    @classmethod
    def setUpClass(cls) -> None:
        move_mirrors()
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(shared_mirrors())


def move_mirrors() -> None:
    """Connect the aliases with ``TEST["MIRROR"]`` to the other's server as well.

    Django gives them the other's database name alone: on their own servers that database arrives late, or never.
    """
    for alias in usable_aliases():
        settings = connections[alias].settings_dict
        if source := settings["TEST"]["MIRROR"]:
            settings.update({key: connections[source].settings_dict[key] for key in ADDRESS})
            settings["TEST"]["MOVED"] = True  # so that no check takes it for a mistake


def close_all_sessions() -> None:
    """What a mirror, an unlisted alias or a pool keeps open would keep a test database from being dropped."""
    request_finished.send(sender=close_all_sessions)  # where unlisted aliases are closed
    for connection in connections.all(initialized_only=True):
        connection.close()
        close_pool(connection)


@contextmanager
def shared_mirrors() -> Iterator[None]:
    """Let the aliases with ``TEST["MIRROR"]`` work inside the open transaction of a ``TestCase``.

    Django points a mirror at the other's database through a connection of its own, which sees no uncommitted row and,
    on SQLite, runs into "database table is locked". Here it borrows the other's session.
    """
    with ExitStack() as stack:
        for alias in usable_aliases():
            source = connections[alias].settings_dict["TEST"]["MIRROR"]
            if source and connections[source].in_atomic_block:
                stack.enter_context(_lent(connections[source], connections[alias]))
        yield


@contextmanager
def _lent(source: BaseDatabaseWrapper, mirror: BaseDatabaseWrapper) -> Iterator[None]:
    """``TestCase`` began a transaction on the mirror's own session: nothing to check there, only to roll back.

    What the mirror borrowed it neither judges nor closes: the end of a request would close the session twice.
    """
    own, autocommit, in_atomic_block = mirror.connection, mirror.autocommit, mirror.in_atomic_block
    mirror.connection, mirror.autocommit, mirror.in_atomic_block = source.connection, source.autocommit, True
    try:
        with patch.object(mirror, "close"), patch.object(mirror, "close_if_unusable_or_obsolete"):
            yield
    finally:
        mirror.connection, mirror.autocommit, mirror.in_atomic_block = own, autocommit, in_atomic_block
        mirror.needs_rollback = in_atomic_block
