"""Make and drop a tenant's schema, and lock it: what ``dbrouting.provisioning`` does with databases elsewhere."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from django.db import OperationalError
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.utils import CursorWrapper

from dbrouting.provisioning import PostgreSQL
from dbrouting.schemas import sessions
from dbrouting.schemas.sessions import schema_of

END_HOLDERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
    JOIN pg_database ON pg_database.oid = database AND datname = current_database()
    JOIN pg_class ON pg_class.oid = relation JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND pid <> pg_backend_pid() GROUP BY pid
"""


class Schema(PostgreSQL):
    """A schema, in a database that is made if it is missing."""

    def name(self, connection: BaseDatabaseWrapper) -> str:
        return schema_of(connection.settings_dict)

    def exists(self, connection: BaseDatabaseWrapper) -> bool:
        try:
            with outside_schemas(connection) as cursor:
                cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [self.name(connection)])
                return cursor.fetchone() is not None
        except OperationalError:
            if PostgreSQL().exists(without_schema(connection)):
                raise
            return False

    def create(self, connection: BaseDatabaseWrapper) -> None:
        if not PostgreSQL().exists(without_schema(connection)):
            PostgreSQL().create(without_schema(connection))
        self._execute(connection, "CREATE SCHEMA")

    def drop(self, connection: BaseDatabaseWrapper) -> None:
        """An open transaction would keep its tables, for ever perhaps: whose it is, is sent away."""
        connection.close()
        with outside_schemas(connection) as cursor:
            cursor.execute(END_HOLDERS, [self.name(connection)])
        self._execute(connection, "DROP SCHEMA IF EXISTS", "CASCADE")

    def names(self, connection: BaseDatabaseWrapper) -> set[str]:
        with outside_schemas(connection) as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace")
            return {name for (name,) in cursor.fetchall()}

    def across(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper | None]:
        return outside_schemas(connection)

    def _execute(self, connection: BaseDatabaseWrapper, verb: str, how: str = "") -> None:
        with outside_schemas(connection) as cursor:
            cursor.execute(f"{verb} {connection.ops.quote_name(self.name(connection))} {how}")


def without_schema(connection: BaseDatabaseWrapper) -> DatabaseWrapper:
    """Django's own, for what must work before there is a schema: also where the role may not use ``postgres``."""
    return DatabaseWrapper(connection.copy().settings_dict, alias=NO_DB_ALIAS)


@contextmanager
def outside_schemas(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """A cursor in the database of ``connection``, in no schema that could be a tenant's: for a moment, and only one.

    It is on a session of the stock, unless PgBouncer would have every statement in a schema.
    """
    if connection.settings_dict.get("PGBOUNCER"):
        session: BaseDatabaseWrapper = without_schema(connection)
    else:
        session = stocked = sessions.DatabaseWrapper(connection.copy().settings_dict, alias=NO_DB_ALIAS)
        stocked.is_stocked = True
    with closing(session), session.cursor() as cursor:
        yield cursor


@contextmanager
def separately_outside(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """The same on a session of its own, for what takes long or needs two of them."""
    with closing(without_schema(connection)) as session, session.cursor() as cursor:
        yield cursor
