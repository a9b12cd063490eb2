"""Moving between SQLite files."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.moving.engines import Engine, execute_all, refusal
from dbrouting.moving.ranges import Range, Table, within
from dbrouting.provisioning import is_in_memory, quoted, sqlite_path

AT_ONCE = 500
EVENTS = ("INSERT", "UPDATE", "DELETE")


class SQLite(Engine):
    reads_side_by_side = False  # this process does the work

    def prepare_session(self, connection: BaseDatabaseWrapper) -> None:
        connection.disable_constraint_checking()  # ranges commit before those that they refer to

    def columns(self, connection: BaseDatabaseWrapper, table: str) -> dict[str, str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, type FROM pragma_table_xinfo(%s) WHERE hidden IN (0, 1)", [table])
            return {name: kind.lower() for name, kind in cursor.fetchall()}

    def size(self, connection: BaseDatabaseWrapper, table: str) -> tuple[int | None, int]:
        """The file knows its own size only: this is no less than what the table takes."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            return None, cursor.fetchone()[0]

    def order(
        self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: str, key: Sequence[str]
    ) -> tuple[str, ...]:
        types = self.columns(source, table)
        columns = super().order(source, target, table, key)
        return tuple(
            f"hex({column})" if types[name] == "blob" else column for name, column in zip(key, columns, strict=True)
        )

    def shown(self, column: str) -> str:
        """Bytes as text, which sorts as they do."""
        return f"CASE typeof({column}) WHEN 'blob' THEN hex({column}) ELSE {column} END"

    def rows(self, connection: BaseDatabaseWrapper, table: Table, span: Range) -> Iterator[list[tuple[Any, ...]]]:
        """As they are stored: a plus hides a column's type from what would make Python's objects of it."""
        condition, values = within(table.order, span)
        names = ", ".join(f"+{quoted(connection, column)}" for column in table.columns)
        order = ", ".join(table.order)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {names} FROM {quoted(connection, table.name)} WHERE {condition} ORDER BY {order}", values
            )
            while rows := cursor.fetchmany(AT_ONCE):
                yield rows

    def copy(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table, span: Range) -> int:
        names = ", ".join(quoted(target, column) for column in table.columns)
        marks = ", ".join(["%s"] * len(table.columns))
        count = 0
        with target.cursor() as cursor:
            for rows in self.rows(source, table, span):
                cursor.executemany(f"INSERT INTO {quoted(target, table.name)} ({names}) VALUES ({marks})", rows)
                count += len(rows)
        return count

    def digest(self, connection: BaseDatabaseWrapper, table: Table, span: Range) -> str:
        """The rows are in order, and nothing is faster than this process: SQLite works in it."""
        count, total = 0, hashlib.md5(usedforsecurity=False)
        for rows in self.rows(connection, table, span):
            count += len(rows)
            total.update(repr(rows).encode())
        return f"{count} {total.hexdigest()}"

    def obstacles(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
        files = [sqlite_path(connection) for connection in (source, target) if not is_in_memory(connection)]
        found = [f"{path} can't be written." for path in files if not os.access(path, os.W_OK)]
        if not is_in_memory(source) and not is_in_memory(target):
            needed, free = sqlite_path(source).stat().st_size, shutil.disk_usage(sqlite_path(target).parent).free
            if free < needed:
                found.append(f"{sqlite_path(target).parent} has {free} bytes left, and may need {needed}.")
        return found

    def block(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        message = refusal(app_label).replace("'", "''")
        execute_all(
            source,
            (
                f"CREATE TRIGGER IF NOT EXISTS {trigger(source, table, event)} BEFORE {event} "
                f"ON {quoted(source, table)} BEGIN SELECT RAISE(ABORT, '{message}'); END"
                for table in tables
                for event in EVENTS
            ),
        )

    def unblock(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        execute_all(
            source,
            (f"DROP TRIGGER IF EXISTS {trigger(source, table, event)}" for table in tables for event in EVENTS),
        )

    def is_blocked(self, source: BaseDatabaseWrapper, table: str, app_label: str) -> bool:
        names = [trigger_name(table, event) for event in EVENTS]
        with source.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name IN (%s, %s, %s)", names)
            return bool(cursor.fetchone()[0] == len(EVENTS))


def trigger_name(table: str, event: str) -> str:
    return f"dbrouting_refuse_{event.lower()}_{table}"


def trigger(connection: BaseDatabaseWrapper, table: str, event: str) -> str:
    return quoted(connection, trigger_name(table, event))
