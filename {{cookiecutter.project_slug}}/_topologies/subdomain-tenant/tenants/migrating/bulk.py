"""What many tenants' places hold, records of migrations and columns, in as few queries as their server allows."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.recorder import MigrationRecorder

from dbrouting.aliases import is_listed
from dbrouting.inspection.tables import FAMILIAR_TABLES, cache_tables
from dbrouting.provisioning import name_of, provisioner_of, quoted
from tenants.migrating.state import Applied, Key

TABLE = MigrationRecorder.Migration._meta.db_table
AT_ONCE = 100

# Of a place: each table with each of its columns.
Columns = frozenset[tuple[str, str]]


def applied_on(connection: BaseDatabaseWrapper) -> Applied:
    """Where nothing was ever migrated there is no table."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT app, name FROM {quoted(connection, TABLE)}")
            return frozenset(cursor.fetchall())
    except DatabaseError:
        return frozenset(MigrationRecorder(connection).applied_migrations())


def applied_in_bulk(aliases: list[str]) -> dict[str, Applied]:
    """By alias, for those that one session can read; the others, and those without the table, are left out.

    Raises DatabaseError if their server can't be reached.
    """
    unlisted = [alias for alias in aliases if not is_listed(alias)]  # all on one server: a listed one may be anywhere
    with one_session(unlisted) as (cursor, aliases_of):
        if cursor is None:
            return {}
        found = chunks(sorted(aliases_of.keys() & places_with_table(cursor)))
        return {aliases_of[place]: applied for chunk in found for place, applied in read_applied(cursor, chunk)}


def columns_in_bulk(aliases: list[str]) -> dict[str, Columns]:
    """By alias, for those that one session can read."""
    with one_session(aliases) as (cursor, aliases_of):
        if cursor is None:
            return {}
        found = chunks(sorted(aliases_of))
        return {aliases_of[place]: columns for chunk in found for place, columns in read_columns(cursor, chunk)}


@contextmanager
def one_session(aliases: list[str]) -> Iterator[tuple[CursorWrapper | None, dict[str, str]]]:
    """A cursor for the places of all these tenants, where there can be such, and the aliases by place."""
    if not aliases:
        yield None, {}
        return
    connection = connections[aliases[0]]
    with provisioner_of(connection).across(connection) as cursor:
        yield cursor, {name_of(connections[alias]): alias for alias in aliases}


def chunks(places: list[str]) -> Iterator[list[str]]:
    """A server locks every table that a statement names, and has room for so many locks only."""
    for start in range(0, len(places), AT_ONCE):
        yield places[start : start + AT_ONCE]


def places_with_table(cursor: CursorWrapper) -> set[str]:
    cursor.execute("SELECT table_schema FROM information_schema.tables WHERE table_name = %s", [TABLE])
    return {schema for (schema,) in cursor.fetchall()}


def read_applied(cursor: CursorWrapper, places: list[str]) -> Iterator[tuple[str, Applied]]:
    table = quoted(cursor.db, TABLE)
    cursor.execute(
        " UNION ALL ".join(
            f"SELECT {number}, app, name FROM {quoted(cursor.db, place)}.{table}" for number, place in enumerate(places)
        )
    )
    rows: dict[int, list[Key]] = defaultdict(list)
    for number, app_label, name in cursor.fetchall():
        rows[number].append((app_label, name))
    for number, place in enumerate(places):
        yield place, frozenset(rows[number])


def read_columns(cursor: CursorWrapper, places: list[str]) -> Iterator[tuple[str, Columns]]:
    marks = ", ".join(["%s"] * len(places))
    cursor.execute(
        f"SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({marks})",
        places,
    )
    ignored = FAMILIAR_TABLES | cache_tables()
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for place, table, column in cursor.fetchall():
        if table not in ignored:
            found[place].add((table, column))
    for place in places:
        yield place, frozenset(found[place])
