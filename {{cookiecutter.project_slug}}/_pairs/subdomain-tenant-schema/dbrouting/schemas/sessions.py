"""PostgreSQL sessions that tenants take turns at, each of them in its own schema only.

``search_path`` is set whenever a session is taken from the pool, whatever it seems to be: the last borrower may have
changed it behind Django's back. ``public`` is never in it, for there a missing table would be the shared one. Until it
is set, and after a RESET, it is empty: a query fails instead of finding another's rows.
"""

import os
import re
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakSet

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.utils.asyncio import async_unsafe
from psycopg import Connection, Cursor, Error, OperationalError, pq
from psycopg_pool import ConnectionPool

from dbrouting.tenant_connections import opened_here, serves_requests

Session = Connection[Any]

# One round trip, which also shows that the session is alive and clean, and that the schema is there.
ENTER = """SELECT current_setting('search_path'), set_config('search_path', quote_ident(%(name)s), false),
    to_regnamespace(quote_ident(%(name)s))"""

# What tells one pool from another.
CONNECTS_BY = ("HOST", "PORT", "NAME", "USER", "PASSWORD", "TIME_ZONE", "OPTIONS")

# PostgreSQL cuts a longer name, so that two tenants could mean the same schema.
_NAME = re.compile(r"(?!pg_|public$|information_schema$)[a-z][a-z0-9_]{0,62}")


def schema_of(config: dict[str, Any]) -> str:
    """The schema that a database's configuration names."""
    name = config.get("SCHEMA")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ImproperlyConfigured(
            f"SCHEMA = {name!r} can't be a tenant's: it takes at most 63 lower-case letters, digits and _, a letter "
            "first, and is none of PostgreSQL's own and not public."
        )
    return name


class DatabaseWrapper(base.DatabaseWrapper):
    connection: Session | None
    _configure_connection: Callable[[Session], Any]  # Django's own, without a stub
    pools: ClassVar[dict[str, ConnectionPool[Session]]] = {}

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self._cursors: WeakSet[Cursor[Any]] = WeakSet()

    @property
    def pool(self) -> ConnectionPool[Session] | None:
        """The one for all aliases that connect in the same way, whatever their schema.

        Threads that no request is bound to never say when they have done: theirs are sessions of their own.
        """
        options = self.settings_dict["OPTIONS"].get("pool")
        if not options or self.alias == NO_DB_ALIAS or not serves_requests():
            return None
        place = self._place()
        if place not in self.pools:
            how = {**self.get_connection_params(), "autocommit": True}
            configure = self.copy()._configure_connection  # a copy, for the pool keeps it
            # Another thread may be faster; a pool that isn't used isn't opened.
            self.pools.setdefault(place, ConnectionPool(kwargs=how, open=False, configure=configure, **options))
        return self.pools[place]

    def _place(self) -> str:
        """A process that was forked has none of its parent's: two would talk in one session at once."""
        return repr([os.getpid(), *(self.settings_dict[key] for key in CONNECTS_BY)])

    def close_pool(self) -> None:
        if pool := self.pools.pop(self._place(), None):
            pool.close()

    def check_settings(self) -> None:
        super().check_settings()
        schema_of(self.settings_dict)
        if self.settings_dict["CONN_MAX_AGE"] != 0:
            raise ImproperlyConfigured(f"{self.alias!r} needs CONN_MAX_AGE = 0: its session is other tenants' too.")

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        options = f"{params.get('options', '')} -c search_path= -c TimeZone={self.timezone_name}"
        # No prepared statements: DISCARD ALL drops them, and the driver would go on using them.
        return {**params, "options": options, "prepare_threshold": None}

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Session:
        """A session in the schema. Those that died in the pool are thrown away, until one is alive."""
        give_back_idle(besides=self.alias)
        may_be_dead = self.pool.max_size if self.pool else 0
        while True:
            session: Session = super().get_new_connection(conn_params)
            try:
                self._enter_schema(session)
            except BaseException:
                self._give_back(session)
                if not session.closed or not may_be_dead:
                    raise
                may_be_dead -= 1
            else:
                return session

    def _enter_schema(self, session: Session) -> None:
        """Outside any transaction, for a rollback would undo it."""
        if self.alias == NO_DB_ALIAS:
            return
        session.autocommit = True
        name = schema_of(self.settings_dict)
        before, _, schema = session.execute(ENTER, {"name": name}).fetchone() or ("", name, None)
        if before:
            raise OperationalError(f"search_path began as {before}, not empty: a PgBouncer must not ignore `options`")
        if schema is None:
            raise OperationalError(f'schema "{name}" does not exist')

    @async_unsafe
    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)
        self._cursors.add(cursor)
        return cursor

    def is_idle(self) -> bool:
        """Whether nothing is open here: no cursor that somebody still holds, no transaction, not even BEGIN's."""
        busy = self.connection and self.connection.info.transaction_status == pq.TransactionStatus.INTRANS
        return not (busy or self.in_atomic_block) and self.get_autocommit() and all(one.closed for one in self._cursors)

    def _close(self) -> None:
        session, self.connection = self.connection, None  # it is somebody else's from now on
        if session is not None:
            with self.wrap_database_errors:
                self._give_back(session)

    def _give_back(self, session: Session) -> None:
        """Leave nothing to the next tenant: no transaction, role, setting, temporary table, lock or LISTEN.

        And let no cursor that somebody kept run in the next one's schema. A session that refuses, or whose cleaning is
        interrupted, is closed; the pool takes another one in its place.
        """
        if (pool := getattr(session, "_pool", None)) is None:
            session.close()
            return
        try:
            for cursor in tuple(self._cursors):
                cursor.close()
            session.rollback()
            session.autocommit = True
            session.read_only = session.deferrable = session.isolation_level = None  # the driver's own memory
            session.execute("DISCARD ALL")
            self._configure_connection(session)
        except BaseException as error:
            session.close()
            if not isinstance(error, Error):
                raise
        finally:
            pool.putconn(session)


def give_back_idle(besides: str) -> None:
    """Who goes from tenant to tenant takes no more sessions than there is something open in."""
    for alias in opened_here() - {besides}:
        connection = connections[alias]
        if isinstance(connection, DatabaseWrapper) and connection.connection and connection.is_idle():
            connection.close()
