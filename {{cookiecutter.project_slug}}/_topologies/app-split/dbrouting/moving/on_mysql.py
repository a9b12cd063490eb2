"""Moving between MySQL or MariaDB databases.

Triggers can't block writes there: making one takes SUPER where changes are logged, none sees TRUNCATE, and cascades
fire none. So a table that is to refuse them is put aside, and a view that can only be read takes its name, in one
statement.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name

from dbrouting.moving.engines import Engine, execute_all
from dbrouting.moving.errors import MoveError
from dbrouting.moving.ranges import Range, Table, within
from dbrouting.provisioning import quoted

AT_ONCE = 500
# Ranges come before those that they refer to; 0 is a number, not a request for the next one; no hour comes twice.
SESSION = (
    "SET SESSION foreign_key_checks = 0, unique_checks = 0, sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', "
    "time_zone = '+00:00', lock_wait_timeout = 2"
)
COLUMNS = """SELECT column_name, LOWER(column_type) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = %s AND extra NOT LIKE '%% GENERATED%%' ORDER BY ordinal_position"""
COLLATED = """SELECT column_name, collation_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = %s AND collation_name IS NOT NULL"""
SIZE = """SELECT table_rows, data_length + index_length FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = %s"""
KIND = "SELECT table_type FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s"
BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry")
# Of a table that is put aside, and of the view before it takes the table's name.
HELD, VIEW = "dbrouting_held_", "dbrouting_view_"
LONGEST = 64


class MySQL(Engine):
    def prepare_session(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(SESSION)

    def columns(self, connection: BaseDatabaseWrapper, table: str) -> dict[str, str]:
        return dict(rows_of(connection, COLUMNS, self.stored_as(connection, table)))

    def size(self, connection: BaseDatabaseWrapper, table: str) -> tuple[int | None, int]:
        [(rows, size)] = rows_of(connection, SIZE, self.stored_as(connection, table))
        return rows, int(size)

    def order(
        self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: str, key: Sequence[str]
    ) -> tuple[str, ...]:
        here = dict(rows_of(source, COLLATED, self.stored_as(source, table)))
        there = dict(rows_of(target, COLLATED, self.stored_as(target, table)))
        columns = super().order(source, target, table, key)
        return tuple(
            column if here.get(name) == there.get(name) else f"CONVERT({column} USING utf8mb4) COLLATE utf8mb4_bin"
            for name, column in zip(key, columns, strict=True)
        )

    def stored_as(self, connection: BaseDatabaseWrapper, table: str) -> str:
        return held(table) if is_aside(connection, table) else table

    def copy(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table, span: Range) -> int:
        """The driver's own cursors: Django's would fetch all rows at once, and send them one by one."""
        condition, values = within(table.order, span)
        columns = ", ".join(quoted(source, column) for column in table.columns)
        marks = ", ".join(["%s"] * len(table.columns))
        reads = f"SELECT {columns} FROM {self.place(source, table)} WHERE {condition} ORDER BY {', '.join(table.order)}"
        source.ensure_connection()
        count = 0
        with target.wrap_database_errors, streaming_cursor(source) as reading, target.connection.cursor() as writing:
            reading.execute(reads, values)
            while rows := reading.fetchmany(AT_ONCE):
                writing.executemany(f"INSERT INTO {quoted(target, table.name)} ({columns}) VALUES ({marks})", rows)
                count += len(rows)
        return count

    def row_digest(
        self,
        source: BaseDatabaseWrapper,
        target: BaseDatabaseWrapper,
        columns: Mapping[str, str],
        theirs: Mapping[str, str],
    ) -> str:
        """Column by column: all of a row as one text might be longer than the server allows, and so NULL."""
        parts = ", ".join(digest_of(quoted(source, name), kind) for name, kind in columns.items())
        return f"CAST(CONV(LEFT(MD5(CONCAT_WS(',', {parts})), 15), 16, 10) AS DECIMAL(40))"

    def obstacles(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
        long = [table for table in tables if len(table) + len(HELD) > LONGEST and len(held(table)) > LONGEST]
        return [f"{table} has too long a name to be put aside." for table in long]

    def block(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        require_nothing_lost(source, tables)
        self._bring_back(source, [table for table in tables if not kind_of(source, table)])
        names = [table for table in tables if kind_of(source, table) != "VIEW"]
        with source.cursor() as cursor:
            for table in names:
                self._make_view(source, table)
            if names:
                cursor.execute(renaming(source, [pair for t in names for pair in ((t, held(t)), (view(t), t))]))

    def _make_view(self, source: BaseDatabaseWrapper, table: str) -> None:
        """A view of a table that isn't called so yet: an empty one stands in for it."""
        aside, name = quoted(source, held(table)), quoted(source, view(table))
        with source.cursor() as cursor:
            cursor.execute(f"DROP VIEW IF EXISTS {name}")
            cursor.execute(f"DROP TABLE IF EXISTS {aside}")
            cursor.execute(f"CREATE TABLE {aside} LIKE {quoted(source, table)}")
            cursor.execute(f"CREATE ALGORITHM = TEMPTABLE VIEW {name} AS SELECT * FROM {aside}")
            cursor.execute(f"DROP TABLE {aside}")

    def unblock(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        require_nothing_lost(source, tables)
        self._bring_back(source, [table for table in tables if is_aside(source, table)])
        with source.cursor() as cursor:
            for table in tables:
                cursor.execute(f"DROP VIEW IF EXISTS {quoted(source, view(table))}")

    def _bring_back(self, source: BaseDatabaseWrapper, tables: Sequence[str]) -> None:
        pairs = [pair for table in tables for pair in ((table, view(table)), (held(table), table))]
        if there := [pair for pair in pairs if kind_of(source, pair[0])]:
            with source.cursor() as cursor:
                cursor.execute(renaming(source, there))

    def is_blocked(self, source: BaseDatabaseWrapper, table: str, app_label: str) -> bool:
        return kind_of(source, table) == "VIEW"

    def empty(self, connection: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        """While they are aside: bringing them back ends a transaction."""
        places = [self.stored_as(connection, table) for table in tables]
        execute_all(connection, (f"DELETE FROM {quoted(connection, place)}" for place in places))
        self.unblock(connection, tables, app_label)

    def drop(self, connection: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        with connection.cursor() as cursor:
            for name in [name for table in tables for name in (table, view(table))]:
                if kind_of(connection, name) == "VIEW":
                    cursor.execute(f"DROP VIEW {quoted(connection, name)}")
        super().drop(connection, [*tables, *map(held, tables)], app_label)


def rows_of(connection: BaseDatabaseWrapper, query: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def kind_of(connection: BaseDatabaseWrapper, name: str) -> str:
    return "".join(kind for (kind,) in rows_of(connection, KIND, name))


def is_aside(connection: BaseDatabaseWrapper, table: str) -> bool:
    """Whether its name is that of the view, or of nothing, as somebody has dropped the view."""
    return kind_of(connection, table) in ("VIEW", "") and bool(kind_of(connection, held(table)))


def require_nothing_lost(source: BaseDatabaseWrapper, tables: Sequence[str]) -> None:
    """What stands in for a table that is not yet put aside is dropped, and has no rows."""
    for table in tables:
        aside = held(table)
        if is_aside(source, table) or not kind_of(source, aside):
            continue
        if rows_of(source, f"SELECT 1 FROM {quoted(source, aside)} LIMIT 1"):
            raise MoveError(
                f"On {source.alias!r} the rows of {table} are in {aside}, and somebody has made another table {table}. "
                "Copy what you need of the new one, drop it, and repeat this command."
            )


def held(table: str) -> str:
    return truncate_name(f"{HELD}{table}", LONGEST)


def view(table: str) -> str:
    return truncate_name(f"{VIEW}{table}", LONGEST)


def renaming(connection: BaseDatabaseWrapper, pairs: list[tuple[str, str]]) -> str:
    """One statement, so that nobody finds a name without a table."""
    return "RENAME TABLE " + ", ".join(f"{quoted(connection, old)} TO {quoted(connection, new)}" for old, new in pairs)


def streaming_cursor(connection: BaseDatabaseWrapper) -> Any:
    driver = import_module("MySQLdb")  # whichever calls itself so
    return connection.connection.cursor(driver.cursors.SSCursor)


def digest_of(column: str, kind: str) -> str:
    is_bytes = kind.partition("(")[0] in BYTES
    return f"IFNULL(MD5({column if is_bytes else f'CONVERT({column} USING utf8mb4)'}), '-')"
