"""Copy a live tenant's rows on MySQL or MariaDB: one snapshot, read by SELECT, in memory that doesn't grow with them.

INSERT … SELECT would be faster, but it locks what it reads against writers, or in READ COMMITTED sees each table at
another moment. A snapshot (``START TRANSACTION WITH CONSISTENT SNAPSHOT``) is seen by plain SELECTs only, and nobody
waits for it but those who alter its tables.
"""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from dbrouting.provisioning import quoted
from tenants.errors import TenantError
from tenants.places.dumping import columns_of, definition_of, insertion, selection, session_of, tables_of

SNAPSHOT = ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT")
TRIGGERS = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
ENOUGH = 1 << 20  # characters in one INSERT; a server takes at least as many again


def copy_rows(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
    """Replace the rows of ``target`` by those of ``source``, all of them or none; they keep to all constraints."""
    with session_of(source) as reader, session_of(target) as writer:
        for statement in SNAPSHOT:
            reader.execute(statement)
        tables = common_tables(reader, writer)
        writer.execute("START TRANSACTION")
        for table, columns in tables.items():
            writer.execute(f"DELETE FROM {quoted(writer.db, table)}")
            if table not in without:
                copy_table(reader, writer, table, columns)
        writer.db.check_constraints(tables)
        writer.execute("COMMIT")
        for table in tables:
            continue_numbers(reader, writer, table)


def common_tables(reader: CursorWrapper, writer: CursorWrapper) -> dict[str, dict[str, str]]:
    """The tables of both, with their columns; TenantError if they differ, or would change what comes in."""
    writer.execute(TRIGGERS)
    if triggers := [name for (name,) in writer.fetchall()]:
        raise TenantError(f"Not copied: each row would set off triggers there: {', '.join(triggers)}.")
    here, there = ({name: columns_of(cursor, name) for name in tables_of(cursor)} for cursor in (reader, writer))
    if strangers := sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name)):
        raise TenantError(
            f"Not copied: {', '.join(strangers)} in the original is not what the migrations make. Let a migration "
            "make it so everywhere, or remove it there, then copy again."
        )
    return here


def copy_table(reader: CursorWrapper, writer: CursorWrapper, table: str, columns: dict[str, str]) -> None:
    for rows in batches(streamed(reader, selection(reader, table, columns))):
        writer.execute(insertion(writer, table, columns, rows))
    read, written = (count(cursor, table) for cursor in (reader, writer))
    if read != written:
        raise TenantError(f"Not copied: of {read} rows of {table}, {written} arrived.")


def streamed(reader: CursorWrapper, query: str) -> Iterator[str]:
    """The query's only column, row by row: Django's cursors, and the driver's own, would fetch them all at once."""
    driver = import_module("MySQLdb")  # whichever calls itself so
    with reader.db.wrap_database_errors, reader.db.connection.cursor(driver.cursors.SSCursor) as cursor:
        cursor.execute(query)
        for (row,) in cursor:
            if row is None:
                raise TenantError("Not copied: a row is larger than the server's max_allowed_packet.")
            yield row


def batches(rows: Iterator[str]) -> Iterator[list[str]]:
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += len(row)
        if size > ENOUGH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def count(cursor: CursorWrapper, table: str) -> int:
    cursor.execute(f"SELECT COUNT(*) FROM {quoted(cursor.db, table)}")
    number: int = cursor.fetchone()[0]
    return number


def continue_numbers(reader: CursorWrapper, writer: CursorWrapper, table: str) -> None:
    """No row's number is given again, not even that of one which was deleted."""
    here, there = (re.search(r"\bAUTO_INCREMENT=(\d+)", definition_of(cursor, table)) for cursor in (reader, writer))
    if here and here[1] != (there and there[1]):
        writer.execute(f"ALTER TABLE {quoted(writer.db, table)} AUTO_INCREMENT = {here[1]}")
