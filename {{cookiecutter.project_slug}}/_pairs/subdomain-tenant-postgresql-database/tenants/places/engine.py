"""Tenants' PostgreSQL databases: a new one is the copy of a template that nobody can connect to.

Since PostgreSQL 15 the server writes such a copy to its log (``STRATEGY wal_log``, its default), which takes a few
hundredths of a second; older ones need a checkpoint before and after it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from config import databases
from dbrouting.provisioning import (
    END_SESSIONS,
    create_database,
    drop_with_its_sessions,
    name_of,
    quoted,
    separate_session,
)
from tenants.places.contents import contents_of
from tenants.places.copying import copy_rows
from tenants.places.fingerprints import LENGTH
from tenants.places.kinds import Contents

NO_SUCH_DATABASE = "3D000"
OWN_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
EVERY_TEMPLATE = f"""SELECT datname FROM pg_database
    WHERE datname ~ ('^' || %s || '[0-9a-f]{{{LENGTH}}}$') AND datname <> %s
    AND pg_get_userbyid(datdba) = current_user"""


class Databases:
    def make(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        new = quoted(connection, name_of(connection))
        template = quoted(connection, template_name(connection, fingerprint))
        try:
            with connection._nodb_cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {new} TEMPLATE {template}")
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlstate", "") == NO_SUCH_DATABASE:
                return False
            raise
        return True

    def has_blueprint(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template_name(connection, fingerprint)])
            return cursor.fetchone() is not None

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        create_database(scratch)
        migrate(scratch)
        return ""

    def contents(self, connection: BaseDatabaseWrapper) -> Contents:
        with connection.cursor() as cursor:
            return contents_of(cursor, own_schemas(cursor))

    def keep(self, scratch: BaseDatabaseWrapper, fingerprint: str, script: str) -> None:
        """Closed to everybody first, and called a template last."""
        scratch.close()
        name = name_of(scratch)
        with scratch._nodb_cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {quoted(scratch, name)} ALLOW_CONNECTIONS false")
            cursor.execute(END_SESSIONS, [name])  # those that a pool keeps
            template = quoted(scratch, template_name(scratch, fingerprint))
            cursor.execute(f"ALTER DATABASE {quoted(scratch, name)} RENAME TO {template}")

    def remove_outdated(self, scratch: BaseDatabaseWrapper, fingerprint: str) -> None:
        with scratch._nodb_cursor() as cursor:
            cursor.execute(EVERY_TEMPLATE, [beginning(), template_name(scratch, fingerprint)])
            for (name,) in cursor.fetchall():
                drop_with_its_sessions(cursor, name)

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        with session_of(source) as reader, session_of(target) as writer:
            schemas = own_schemas(reader)
            copy_rows(reader, writer, dict(zip(schemas, schemas, strict=True)), without)


def template_name(connection: BaseDatabaseWrapper, fingerprint: str) -> str:
    """Each user has one: what is in a copy belongs to whom it belonged to in the template."""
    own = f"{fingerprint} {connection.settings_dict['USER']}"
    return beginning() + hashlib.sha256(own.encode()).hexdigest()[:LENGTH]


def beginning() -> str:
    return f"{databases.TENANT_DATABASE_PREFIX}__template_"


def own_schemas(cursor: CursorWrapper) -> list[str]:
    """All but those of the server."""
    cursor.execute(OWN_SCHEMAS)
    return [name for (name,) in cursor.fetchall()]


@contextmanager
def session_of(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """A cursor on a session of its own, whatever transaction ``connection`` is in."""
    with closing(separate_session(connection)) as session, session.cursor() as cursor:
        yield cursor
