"""A replica's connection, which leaves to the primary what the replica can't answer: it is down, or behind.

The routers do no I/O, so they can't know. It turns out when a connection is used; and that is the only place where the
question is about the server that is going to answer, whichever of several the alias led to.
"""

from collections.abc import Callable, Iterator
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from dbrouting import health, replication
from dbrouting.consistency import Position
from dbrouting.overrides import current_override
from dbrouting.pinning import current_unit
from dbrouting.replicas import is_left_out, primary_alias
from dbrouting.routers import has_transaction

# What each open connection's server is known to have replayed: it doesn't forget it.
_replayed: WeakKeyDictionary[Any, Position] = WeakKeyDictionary()


class ReplicaConnection(BaseDatabaseWrapper):
    """Mixed into Django's backend of the engine. A unit of work that was turned away reads the primary from then on.

    Nothing is turned away where the caller means this very server: inside ``in_database`` of its alias, or in a
    transaction on it.
    """

    def _cursor(self, name: str | None = None) -> CursorWrapper:
        open_cursor: Callable[..., CursorWrapper] = super()._cursor  # type: ignore[misc]  # which the stubs leave out
        if self.is_meant():
            return open_cursor(name)
        try:
            if self.is_connected() or not is_left_out(self.alias):
                cursor = open_cursor(name)
                if self.is_fresh():
                    return cast(CursorWrapper, ReplicaCursor(cursor, self, name))
        except (OperationalError, InterfaceError) as error:
            self.fail(error)
        return self.cursor_of_the_primary(name)

    def get_new_connection(self, conn_params: Any) -> Any:
        health.watch()
        return super().get_new_connection(conn_params)

    def is_meant(self) -> bool:
        override = current_override()
        return (override is not None and override.read == self.alias) or has_transaction(self)

    def is_connected(self) -> bool:
        return self.connection is not None

    def is_fresh(self) -> bool:
        """Whether this connection's server has replayed what the unit's client wrote."""
        required = current_unit().required
        if required is None or self.leads_to_the_primary():
            return True
        known = _replayed.get(self.connection)
        if known is None or not known.covers(required):
            known = self.ask_what_is_replayed()
        return known.covers(required)

    def ask_what_is_replayed(self) -> Position:
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            replayed = replication.replayed(cursor)
        if not self.settings_dict.get("PGBOUNCER"):  # whose connections change servers
            _replayed[self.connection] = replayed
        return replayed

    def leads_to_the_primary(self) -> bool:
        """The same list of hosts leads to another of them if another kind of server is wanted."""
        own, primary = self.settings_dict, connections[primary_alias()].settings_dict
        wanted = own["OPTIONS"].get("target_session_attrs") == primary["OPTIONS"].get("target_session_attrs")
        return wanted and all(own[key] == primary[key] for key in ("HOST", "PORT", "NAME"))

    def fail(self, error: Error) -> None:
        health.note_failure(self.alias, error)
        self.close_if_unusable_or_obsolete()  # or nobody would, where no request ends

    def cursor_of_the_primary(self, name: str | None) -> CursorWrapper:
        current_unit().pinned = True
        primary: Any = connections[primary_alias()]
        return cast(CursorWrapper, primary._cursor(name))  # Django's own, which all its public ones call


class ReplicaCursor:
    """A cursor that becomes one of the primary's if the replica fails before it has handed out a row.

    The driver has all rows when ``execute`` returns, unless the cursor has a name: then it fetches them as it goes.
    """

    def __init__(self, cursor: CursorWrapper, replica: ReplicaConnection, name: str | None) -> None:
        self._cursor = cursor
        self._replica = replica
        self._name = name
        # What the primary would be asked, as long as it can be.
        self._statement: tuple[Any, ...] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._cursor.__exit__(*exception)

    def execute(self, *statement: Any) -> Any:
        self._statement = statement if self._cursor.db is self._replica else None
        try:
            return self._cursor.execute(*statement)
        except (OperationalError, InterfaceError) as error:
            if not self._can_move(error):
                raise
            self._replica.fail(error)
        return self._move()

    def fetchmany(self, *size: int) -> Any:
        try:
            rows = self._cursor.fetchmany(*size)
        except (OperationalError, InterfaceError) as error:
            if not self._can_move(error):
                raise
            self._replica.fail(error)
            self._move()
            rows = self._cursor.fetchmany(*size)
        self._statement = None
        return rows

    def _can_move(self, error: Error) -> bool:
        return self._statement is not None and replication.is_failure(error)

    def _move(self) -> Any:
        statement, self._statement = self._statement or (), None
        self._cursor.__exit__(None, None, None)
        self._cursor = self._replica.cursor_of_the_primary(self._name)
        return self._cursor.execute(*statement)
