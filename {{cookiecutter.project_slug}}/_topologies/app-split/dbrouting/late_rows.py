"""A row whose transaction hasn't been committed can't be seen: look again once those who are writing have ended."""

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.transaction import atomic

from dbrouting.provisioning import quoted
from dbrouting.read_only import is_read_only
from dbrouting.references import CrossDatabaseForeignKey, keys_without_row
from dbrouting.routers import home_of_model

# For how long writers are waited for, in milliseconds: on PostgreSQL all others queue behind that.
PATIENCE = 2000


class UnsureError(Exception):
    """Nobody can tell whether rows are about to be committed; the message says why, and what to do."""


def keys_missing_still(field: CrossDatabaseForeignKey, keys: list[Any]) -> list[Any]:
    """Those of ``keys`` that lead nowhere when every transaction has ended that had added rows over there.

    No lock is kept: a session that waits for a row here could itself be waited for over there, and no server would
    notice that.
    """
    target = field.target_field
    alias = home_of_model(target.model)
    what = f"No more is fixed: rows of {target.model._meta.label} on {alias!r} may be about to be committed"
    if is_read_only(alias):
        raise UnsureError(f"{what}, and who only reads there can't wait for those who write. What is left is yours.")
    try:
        with atomic(using=alias):
            rows = target.model._base_manager.using(alias).order_by()
            wait_for_writers(rows.filter(**{f"{target.attname}__in": keys}))
            return keys_without_row(field, keys)
    except DatabaseError as error:
        raise UnsureError(
            f"{what}. It said: {' '.join(str(error).split())}. If a transaction lasts, let it end; if the user may not "
            f"lock the table: GRANT UPDATE ON {target.model._meta.db_table}. Then run: python manage.py "
            "check_references --fix"
        ) from error


def wait_for_writers(rows: "QuerySet[Any]") -> None:
    """Until nobody has added any of ``rows`` without a commit; DatabaseError if that lasts, or isn't allowed."""
    connection = connections[rows.db]
    ways: dict[str, Callable[[BaseDatabaseWrapper, QuerySet[Any]], None]] = {
        "sqlite": be_the_writer,
        "postgresql": lock_table,
        "mysql": read_locked,
    }
    ways[connection.vendor](connection, rows)


def be_the_writer(connection: BaseDatabaseWrapper, rows: "QuerySet[Any]") -> None:
    """A file has one; this makes it us also where a URL has turned off ``transaction_mode=IMMEDIATE``."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {quoted(connection, rows.model._meta.db_table)} WHERE 0")


def lock_table(connection: BaseDatabaseWrapper, rows: "QuerySet[Any]") -> None:
    """Shared with readers and with others that look again, but with nobody who writes."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {PATIENCE}")
        cursor.execute(f"LOCK TABLE {quoted(connection, rows.model._meta.db_table)} IN SHARE MODE")


def read_locked(connection: BaseDatabaseWrapper, rows: "QuerySet[Any]") -> None:
    """Reading so waits for uncommitted rows with these keys, in whatever spelling the column takes for theirs."""
    query, values = rows.values_list("pk").query.get_compiler(connection.alias).as_sql()
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
        [before] = cursor.fetchone()
        cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [PATIENCE // 1000])
        try:
            cursor.execute(f"{query} LOCK IN SHARE MODE", values)
        finally:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [before])
