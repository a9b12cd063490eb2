"""A replica's connection, which leaves to the primary what the replica can't answer: it is down, or behind.

The routers do no I/O, so they can't know. It turns out when a connection is used; and that is the only place where the
question is about the server that is going to answer, whichever of several the alias led to.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any, Self, cast

from django.db import Error, InterfaceError, OperationalError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from dbrouting import health, replication
from dbrouting.consistency import Position
from dbrouting.overrides import current_override
from dbrouting.pinning import current_unit, require_read
from dbrouting.probing import leads_to_the_primary
from dbrouting.replica_routers import has_transaction
from dbrouting.replicas import is_left_out, is_replica, primary_alias

# Connections that wait for an answer, by their id.
_waiting: dict[int, "ReplicaConnection"] = {}


class LeftOutError(OperationalError):
    """Nobody connects to a replica that is out: it may take long to fail. That is no news of its health."""


class ReplicaConnection(BaseDatabaseWrapper):
    """Mixed into Django's backend of the engine. A unit of work that was turned away reads the primary from then on.

    Nothing is turned away where the caller means this very server: inside ``in_database`` of its alias, or in a
    transaction on it.
    """

    is_opening = False

    def _cursor(self, name: str | None = None) -> CursorWrapper:
        open_cursor: Callable[..., CursorWrapper] = super()._cursor  # type: ignore[misc]  # which the stubs leave out
        if self.is_meant():
            return open_cursor(name)
        try:
            with self.waiting():
                cursor = open_cursor(name)
                if self.is_fresh():
                    return cast(CursorWrapper, ReplicaCursor(cursor, self, name))
        except (OperationalError, InterfaceError) as error:
            self.fail(error)
        return cast(CursorWrapper, ReplicaCursor(self.cursor_of_the_primary(name), self, name))

    def get_new_connection(self, conn_params: Any) -> Any:
        if not self.is_meant():  # a command that looks at servers needs nobody else to
            health.watch()
        if is_left_out(self.alias) and id(self) in _waiting:  # where the primary can answer
            raise LeftOutError(self.alias)
        return super().get_new_connection(conn_params)

    def init_connection_state(self) -> None:
        """On this server, however far behind: a session's settings are for those who use the connection later, too."""
        self.is_opening = True
        try:
            super().init_connection_state()
        finally:
            self.is_opening = False

    def is_meant(self) -> bool:
        """Whether no other server will do. Django also makes connections of no alias, to a server as such."""
        override = current_override()
        is_named = override is not None and override.read == self.alias
        return is_named or self.is_opening or has_transaction(self) or not is_replica(self.alias)

    def is_fresh(self) -> bool:
        """Whether this connection's server has replayed what the unit's client wrote."""
        required = current_unit().required
        if required is None or leads_to_the_primary(self):
            return True
        memory = self.memory()
        if self.alias not in memory or not memory[self.alias].covers(required):
            memory[self.alias] = self.ask_what_is_replayed()
        return memory[self.alias].covers(required)

    def memory(self) -> dict[str, Position]:
        """What is known to have been replayed, by alias: a connection's server forgets nothing, whoever gets it from a
        pool. PgBouncer may lead to another server the next time, so that it holds for this unit only.
        """
        if self.settings_dict.get("PGBOUNCER") or not hasattr(self.connection, "__dict__"):
            return current_unit().replayed
        memory: dict[str, Position] = vars(self.connection).setdefault("dbrouting_replayed", {})
        return memory

    def ask_what_is_replayed(self) -> Position:
        with self.wrap_database_errors, closing(self.connection.cursor()) as cursor:
            return replication.replayed(cursor)

    def fail(self, error: Error) -> None:
        if not isinstance(error, LeftOutError):
            health.note_failure(self.alias, error)
            self.close_if_unusable_or_obsolete()  # or nobody would, where no request ends

    def cursor_of_the_primary(self, name: str | None) -> CursorWrapper:
        current_unit().pinned = True
        primary: Any = connections[primary_alias()]
        if primary.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            name = None
        return cast(CursorWrapper, primary._cursor(name))  # Django's own, which all its public ones call

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """To be cut off if the server hangs. Blocks may nest: Django asks a kept connection whether it is usable."""
        if id(self) in _waiting:
            yield
            return
        _waiting[id(self)] = self
        try:
            yield
        finally:
            del _waiting[id(self)]

    def cut_off(self) -> None:
        """End the wait: the driver finds the connection lost. It may have been answered or lost in the meantime."""
        with (
            suppress(OSError, AttributeError),
            socket.socket(fileno=os.dup(replication.socket_of(self.connection))) as ours,
        ):
            ours.shutdown(socket.SHUT_RDWR)


class ReplicaCursor:
    """A cursor that becomes one of the primary's if the replica fails before it has handed out a row.

    The driver has all rows when ``execute`` returns, unless the cursor has a name: then it fetches them as it goes. Who
    wanted to write to the replica is refused on the primary, too.
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

    def execute(self, sql: Any, params: Any = None) -> Any:
        self._statement = (sql, params) if self._is_of_the_replica() else None
        self._require_read(sql)
        try:
            with self._replica.waiting() if self._statement else nullcontext():
                return self._cursor.execute(sql, params)
        except (OperationalError, ProgrammingError, InterfaceError) as error:
            if not self._can_move(error):
                raise
        return self._move()

    def executemany(self, sql: Any, param_list: Any) -> Any:
        self._require_read(sql)
        return self._cursor.executemany(sql, param_list)

    def callproc(self, procname: str, *args: Any, **kwargs: Any) -> Any:
        """Nobody knows what a procedure does; the replica's session would refuse to write."""
        if not self._is_of_the_replica():
            raise OperationalError(f"{self._replica.alias!r} can't run {procname}() now, and the primary is not to.")
        return self._cursor.callproc(procname, *args, **kwargs)

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        try:
            rows = self._cursor.fetchmany(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            if not self._can_move(error):
                raise
            self._move()
            rows = self._cursor.fetchmany(*args, **kwargs)
        self._statement = None
        return rows

    def _is_of_the_replica(self) -> bool:
        return self._cursor.db is self._replica

    def _require_read(self, sql: Any) -> None:
        """As the replica's own connection does."""
        if not self._is_of_the_replica():
            require_read(sql, self._replica.alias)

    def _can_move(self, error: Error) -> bool:
        """Whether the primary may answer otherwise. A migration that has yet to come is no fault of the replica's."""
        if self._statement is None or has_transaction(self._replica):
            return False
        if replication.lacks_a_name(error):
            return True
        if isinstance(error, ProgrammingError) or not replication.is_failure(error):
            return False
        self._replica.fail(error)
        return True

    def _move(self) -> Any:
        statement, self._statement = self._statement or (), None
        self._cursor.__exit__(None, None, None)
        self._cursor = self._replica.cursor_of_the_primary(self._name)
        return self._cursor.execute(*statement)


def end_waiting(alias: str, **kwargs: object) -> None:
    """Answers ``replica_hangs``: a server whose machine has stopped would be waited for until it goes on."""
    for connection in tuple(_waiting.values()):
        if connection.alias == alias:
            connection.cut_off()


health.replica_hangs.connect(end_waiting)
