"""What ``django_migrations`` says of many tenants, in as few queries as their server allows."""

from collections import defaultdict
from collections.abc import Iterator

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.recorder import MigrationRecorder

from dbrouting.aliases import is_listed
from dbrouting.provisioning import name_of, provisioner_of, quoted
from tenants.schema_state import Applied, Key

TABLE = MigrationRecorder.Migration._meta.db_table
AT_ONCE = 100


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
    if not unlisted:
        return {}
    connection = connections[unlisted[0]]
    with provisioner_of(connection).across(connection) as cursor:
        if cursor is None:
            return {}
        places = {name_of(connections[alias]): alias for alias in unlisted}
        found: dict[str, Applied] = {}
        for chunk in chunks(sorted(places.keys() & places_with_table(cursor))):
            found |= {places[place]: applied for place, applied in read(cursor, chunk)}
        return found


def places_with_table(cursor: CursorWrapper) -> set[str]:
    cursor.execute("SELECT table_schema FROM information_schema.tables WHERE table_name = %s", [TABLE])
    return {schema for (schema,) in cursor.fetchall()}


def chunks(places: list[str]) -> Iterator[list[str]]:
    """A server locks every table that a statement names, and has room for so many locks only."""
    for start in range(0, len(places), AT_ONCE):
        yield places[start : start + AT_ONCE]


def read(cursor: CursorWrapper, places: list[str]) -> Iterator[tuple[str, Applied]]:
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
