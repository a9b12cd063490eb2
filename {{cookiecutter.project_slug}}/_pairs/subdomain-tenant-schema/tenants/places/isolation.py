"""Tenants' schemas: a new one is made by the statements that ``migrate`` sent when it made the first."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import ClientCursor

from dbrouting.provisioning import create_database, name_of, quoted
from dbrouting.schemas.provisioning import outside_schemas, separately_outside
from tenants.places.contents import contents_of
from tenants.places.copying import copy_rows
from tenants.places.kinds import Contents, PlaceKind, Scripted

# Reading leaves nothing. Without FROM it is a function that is called, for what it does perhaps.
READING = re.compile(r"\s*(SELECT\b.*\bFROM|SHOW|EXPLAIN|DECLARE|FETCH|CLOSE)\b", re.DOTALL | re.IGNORECASE)
# The whole is one transaction, in which this is refused; nobody is there who would have to wait.
CONCURRENTLY = re.compile(r"(\s*(CREATE(\s+UNIQUE)?|DROP)\s+INDEX)\s+CONCURRENTLY\b", re.IGNORECASE)
SEQUENCES = """SELECT format('SELECT setval(%%L, %%s)', quote_ident(sequencename), last_value) FROM pg_sequences
    WHERE schemaname = %s AND last_value IS NOT NULL ORDER BY sequencename"""


def kind_of_place() -> PlaceKind:
    return Schemas()


class Schemas(Scripted):
    """A schema is made and filled in one transaction, sent as one message."""

    def run(self, connection: BaseDatabaseWrapper, script: str) -> None:
        schema = quoted(connection, name_of(connection))
        with outside_schemas(connection) as cursor:
            cursor.execute(f"BEGIN; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}; {script}\n; COMMIT")

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        create_database(scratch)
        with recorded(scratch) as statements:
            migrate(scratch)
        with scratch.cursor() as cursor:
            cursor.execute(SEQUENCES, [name_of(scratch)])
            statements += [statement for (statement,) in cursor.fetchall()]
        return self.rehearse(scratch, "\n;\n".join(statements))

    def contents(self, connection: BaseDatabaseWrapper) -> Contents:
        name = name_of(connection)
        with connection.cursor() as cursor:
            return contents_of(cursor, [name], place=name)

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        with separately_outside(source) as reader, separately_outside(target) as writer:
            copy_rows(reader, writer, {name_of(source): name_of(target)}, without)


@contextmanager
def recorded(connection: BaseDatabaseWrapper) -> Iterator[list[str]]:
    """The statements that change something, with their values, as far as they go through Django and don't fail."""
    statements: list[str] = []

    def record(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        result = execute(sql, params, many, context)
        if not READING.match(str(sql)):
            cursor = ClientCursor(context["connection"].connection)
            texts = [cursor.mogrify(sql, values) for values in (params if many else [params])]
            statements.extend(CONCURRENTLY.sub(r"\1", text, count=1) for text in texts)
        return result

    with connection.execute_wrapper(record):
        yield statements
