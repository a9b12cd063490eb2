"""What is in a MySQL or MariaDB database, as SQL that makes it again; the server itself writes the values down."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from dbrouting.provisioning import quoted, separate_session

# Tables come in any order, and so do rows; 0 is a number, not a request for the next one; no hour comes twice.
PREPARE = "SET foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'"
TABLES = """SELECT table_name FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name"""
COLUMNS = """SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = %s AND extra NOT LIKE '%% GENERATED%%' ORDER BY column_name"""
BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry")


@contextmanager
def session_of(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """A cursor on a session of its own, whose settings go with it."""
    with closing(separate_session(connection)) as session, session.cursor() as cursor:
        cursor.execute(PREPARE)
        yield cursor


def tables_of(cursor: CursorWrapper) -> list[str]:
    cursor.execute(TABLES)
    return [name for (name,) in cursor.fetchall()]


def columns_of(cursor: CursorWrapper, table: str) -> dict[str, str]:
    """Names and types, without those that the server computes."""
    cursor.execute(COLUMNS, [table])
    return dict(cursor.fetchall())


def definition_of(cursor: CursorWrapper, table: str) -> str:
    cursor.execute(f"SHOW CREATE TABLE {quoted(cursor.db, table)}")
    definition: str = cursor.fetchone()[1]
    return definition


def statements_for(cursor: CursorWrapper, table: str) -> Iterator[str]:
    """Those that make the table as it is, with its rows."""
    yield definition_of(cursor, table)
    columns = columns_of(cursor, table)
    cursor.execute(selection(cursor, table, columns))
    if rows := [row for (row,) in cursor.fetchall()]:
        yield insertion(cursor, table, columns, rows)


def selection(cursor: CursorWrapper, table: str, columns: dict[str, str]) -> str:
    """A query for the rows, each as one text: its values as SQL has them. Only so do those of all types survive."""
    values = ", ".join(literal(quoted(cursor.db, name), kind) for name, kind in columns.items())
    return f"SELECT CONCAT_WS(', ', {values}) FROM {quoted(cursor.db, table)}"


def insertion(cursor: CursorWrapper, table: str, columns: dict[str, str], rows: list[str]) -> str:
    names = ", ".join(quoted(cursor.db, name) for name in columns)
    return f"INSERT INTO {quoted(cursor.db, table)} ({names}) VALUES {', '.join(f'({row})' for row in rows)}"


def literal(column: str, kind: str) -> str:
    if kind == "bit":
        return f"IF({column} IS NULL, 'NULL', CONCAT('b''', BIN({column}), ''''))"
    if kind in BYTES:
        return f"IF({column} IS NULL, 'NULL', CONCAT('x''', HEX({column}), ''''))"
    return f"CONVERT(QUOTE({f'CAST({column} AS DOUBLE)' if kind == 'float' else column}) USING utf8mb4)"
