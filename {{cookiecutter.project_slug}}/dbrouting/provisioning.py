"""Make, drop and lock physical databases: what all commands must know of the engines.

Every function takes a connection, whose database need not exist yet.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.files import locks
from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = %s AND usename = current_user AND pid <> pg_backend_pid()"
)


class Provisioner(Protocol):
    """What an engine must be able to do."""

    def name(self, connection: BaseDatabaseWrapper) -> str:
        """What it is called on the server, or the path of its file."""

    def exists(self, connection: BaseDatabaseWrapper) -> bool: ...
    def create(self, connection: BaseDatabaseWrapper) -> None: ...
    def drop(self, connection: BaseDatabaseWrapper) -> None: ...
    def lock(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> bool:
        """Take the lock until ``stack`` closes, without waiting; False if someone else holds it."""

    def names(self, connection: BaseDatabaseWrapper) -> set[str]:
        """What ``name`` says of each that is beside it, itself included if it is there."""

    def across(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper | None]:
        """A cursor for queries that name the places of others beside this one; ``None`` where there can't be any."""


class SQLite:
    def name(self, connection: BaseDatabaseWrapper) -> str:
        return str(connection.settings_dict["NAME"])

    def exists(self, connection: BaseDatabaseWrapper) -> bool:
        return is_in_memory(connection) or sqlite_path(connection).exists()

    def create(self, connection: BaseDatabaseWrapper) -> None:
        path = sqlite_path(connection)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def drop(self, connection: BaseDatabaseWrapper) -> None:
        connection.close()
        path = sqlite_path(connection)
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)

    def lock(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> bool:
        if is_in_memory(connection):
            return True
        path = sqlite_path(connection)
        return lock_file(path.with_name(f"{path.name}.lock"), stack)

    def names(self, connection: BaseDatabaseWrapper) -> set[str]:
        path = sqlite_path(connection)
        return {self.name(connection).replace(path.name, other.name) for other in path.parent.glob(f"*{path.suffix}")}

    def across(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper | None]:
        return nullcontext()


class Server:
    """What PostgreSQL and MySQL have in common: a database is made by SQL sent to another one."""

    find: str
    list_names: str
    before_lock: str = ""
    take_lock: str
    give_back_lock: str
    how: str = ""

    def name(self, connection: BaseDatabaseWrapper) -> str:
        return str(connection.settings_dict["NAME"])

    def exists(self, connection: BaseDatabaseWrapper) -> bool:
        with connection._nodb_cursor() as cursor:
            cursor.execute(self.find, [self.name(connection)])
            return cursor.fetchone() is not None

    def create(self, connection: BaseDatabaseWrapper) -> None:
        self._execute(connection, "CREATE DATABASE", self.how)

    def drop(self, connection: BaseDatabaseWrapper) -> None:
        connection.close()
        close_pool(connection)  # what it keeps open would keep the database from being dropped
        self._execute(connection, "DROP DATABASE IF EXISTS")

    def _execute(self, connection: BaseDatabaseWrapper, verb: str, how: str = "") -> None:
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"{verb} {quoted(connection, self.name(connection))} {how}")

    def lock(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> bool:
        session = separate_session(connection)
        stack.callback(session.close)
        return self.hold(session, f"migrate {self.name(connection)}", stack)

    def names(self, connection: BaseDatabaseWrapper) -> set[str]:
        with connection._nodb_cursor() as cursor:
            cursor.execute(self.list_names)
            return {name for (name,) in cursor.fetchall()}

    def across(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper | None]:
        return nullcontext()

    def hold(self, session: BaseDatabaseWrapper, name: str, stack: ExitStack) -> bool:
        """Take the lock called ``name`` until ``stack`` closes, without waiting; the session may take another then."""
        with session.cursor() as cursor:
            if self.before_lock:
                cursor.execute(self.before_lock)
            stack.callback(self._give_back, session)
            cursor.execute(self.take_lock, [name])
            return cursor.fetchone() in [(True,), (1,)]

    def _give_back(self, session: BaseDatabaseWrapper) -> None:
        """Closing a session gives its locks back too, but a moment later; one that is lost holds none."""
        if session.is_usable():
            with session.cursor() as cursor:
                cursor.execute(self.give_back_lock)


class PostgreSQL(Server):
    """The lock belongs to a transaction that stays open, and for which PgBouncer, too, must keep the session.

    No time limit ends it. At this level it holds no snapshot, which a ``CREATE INDEX CONCURRENTLY`` would wait for.
    """

    find = "SELECT 1 FROM pg_database WHERE datname = %s"
    list_names = "SELECT datname FROM pg_database"
    before_lock = (
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0; "
        "SELECT set_config('transaction_timeout', '0', true) WHERE current_setting('transaction_timeout', true) <> ''"
    )
    take_lock = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    give_back_lock = "ROLLBACK"

    def drop(self, connection: BaseDatabaseWrapper) -> None:
        connection.close()
        close_pool(connection)
        with connection._nodb_cursor() as cursor:
            drop_with_its_sessions(cursor, self.name(connection))


def drop_with_its_sessions(cursor: CursorWrapper, name: str) -> None:
    """Drop a database of PostgreSQL that somebody may still be connected to.

    ``FORCE`` is refused while autovacuum, a superuser's process, is at work there. For a plain ``DROP`` it makes way.
    """
    drop = f"DROP DATABASE IF EXISTS {quoted(cursor.db, name)}"
    try:
        cursor.execute(f"{drop} WITH (FORCE)")
    except ProgrammingError:
        cursor.execute(END_SESSIONS, [name])
        cursor.execute(drop)


class MySQL(Server):
    find = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
    list_names = "SELECT schema_name FROM information_schema.schemata"
    take_lock = "SELECT GET_LOCK(MD5(%s), 0)"  # a name of more than 64 characters is refused
    give_back_lock = "DO RELEASE_ALL_LOCKS()"
    how = "CHARACTER SET utf8mb4"  # a server's own default may be latin1, which can't hold most letters

    def across(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper | None]:
        return connection._nodb_cursor()

    def drop(self, connection: BaseDatabaseWrapper) -> None:
        """An open transaction would keep its tables, for ever perhaps: whose it is, is sent away."""
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [self.name(connection)])
            for (session,) in cursor.fetchall():
                with suppress(OperationalError):  # it has gone by itself
                    cursor.execute("KILL %s", [session])
        super().drop(connection)


PROVISIONERS: dict[str, Provisioner] = {"sqlite": SQLite(), "postgresql": PostgreSQL(), "mysql": MySQL()}


def provisioner_of(connection: BaseDatabaseWrapper) -> Provisioner:
    """The one that the backend brings along, else the engine's."""
    found: Provisioner = getattr(connection, "provisioner", None) or PROVISIONERS[connection.vendor]
    return found


def name_of(connection: BaseDatabaseWrapper) -> str:
    return provisioner_of(connection).name(connection)


def database_exists(connection: BaseDatabaseWrapper) -> bool:
    return provisioner_of(connection).exists(connection)


def create_database(connection: BaseDatabaseWrapper) -> bool:
    """Make the database if it is missing; True if it was."""
    if database_exists(connection):
        return False
    provisioner_of(connection).create(connection)
    return True


def drop_database(connection: BaseDatabaseWrapper) -> None:
    """Remove the database and all its rows, for good."""
    if database_exists(connection):
        provisioner_of(connection).drop(connection)


@contextmanager
def migration_lock(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Keep a second ``migrate`` off this database; two at once can leave a migration half applied.

    Raises CommandError at once if another run holds the lock. The lock goes with the process that holds it.
    """
    with ExitStack() as stack:
        if not provisioner_of(connection).lock(connection, stack):
            raise CommandError(
                f"Another `migrate` is at work on the database {connection.alias!r}. Wait until it has ended, then "
                "run this command again."
            )
        yield


def quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    """``name`` as SQL has it; Django's ``quote_name`` leaves quotes within it as they are."""
    mark = connection.ops.quote_name("name")[0]
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


def separate_session(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """One more session there, which no pool keeps, no transaction of ``connection`` ends, and closing it does."""
    session = connection.copy(alias=NO_DB_ALIAS)
    session.settings_dict["OPTIONS"].pop("pool", None)
    return session


def close_pool(connection: BaseDatabaseWrapper) -> None:
    """Close the pool of this process, if the URL asks for one, and the sessions that PgBouncer keeps for its user."""
    getattr(connection, "close_pool", lambda: None)()
    if connection.settings_dict.get("PGBOUNCER"):
        with connection._nodb_cursor() as cursor:
            cursor.execute(END_SESSIONS, [connection.settings_dict["NAME"]])


def is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    name = str(connection.settings_dict["NAME"])
    return name == ":memory:" or "mode=memory" in name


def is_missing_file(connection: BaseDatabaseWrapper) -> bool:
    """Whether connecting would make an empty database, as SQLite does; a server refuses."""
    return connection.vendor == "sqlite" and not database_exists(connection)


def lock_file(path: Path, stack: ExitStack) -> bool:
    """Lock a file until ``stack`` closes; it is there as long as it is locked. False if someone else holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = stack.enter_context(path.open("w"))
        if not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):  # a killed process lets go of it
            return False
        if is_still_at(file, path):
            stack.callback(path.unlink)
            return True


def is_still_at(file: IO[str], path: Path) -> bool:
    """Whether ``file`` is the one at ``path``: who held its lock may have removed it, and another may be there now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def sqlite_path(connection: BaseDatabaseWrapper) -> Path:
    """The file of an SQLite database, whose name may be a URI such as ``file:/data/shop.sqlite3?mode=ro``."""
    name = str(connection.settings_dict["NAME"])
    is_uri = name.startswith("file:")
    return Path(settings.BASE_DIR, unquote(urlsplit(name).path) if is_uri else name)
