"""Moving between PostgreSQL databases, by COPY, without indexes and constraints until the rows are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic

from dbrouting.moving.engines import AFTER_ALL, Definition, Engine, refusal
from dbrouting.moving.ranges import Range, Table, within
from dbrouting.provisioning import quoted

# Values as text are the same on both sides; until the transaction ends, for PgBouncer gives the session to others.
ALIKE = (
    "SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true), "
    "set_config('intervalstyle', 'postgres', true), set_config('extra_float_digits', '1', true), "
    "set_config('bytea_output', 'hex', true), set_config('statement_timeout', '0', true)"
)
COLUMNS = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"""
# Types that an extension or a user made have other numbers in another database, and COPY's binary form may hold those.
OWN_TYPES = """SELECT count(*) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND atttypid >= 16384"""
# Types whose values are written alike if they are equal, so that these needn't be written to be compared: 1.0 and 1.00
# are equal, as are documents with these, and texts under some collations.
EXACT = {
    *("smallint", "integer", "bigint", "boolean", "uuid", "bytea"),
    *("date", "time without time zone", "timestamp without time zone", "timestamp with time zone"),
}
SORTED_BY_COLLATION = """SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attcollation <> 0"""
COLLATION = """SELECT datcollate, to_jsonb(pg_database) ->> 'datlocprovider',
    to_jsonb(pg_database) ->> 'datcollversion',
    COALESCE(to_jsonb(pg_database) ->> 'datlocale', to_jsonb(pg_database) ->> 'daticulocale')
    FROM pg_database WHERE datname = current_database()"""
SIZE = "SELECT reltuples::bigint, pg_total_relation_size(oid) FROM pg_class WHERE oid = %s::regclass"
# What is made again: keys and plain indexes, then what compares rows, then what refers to others.
CONSTRAINTS = """SELECT conname, CASE contype WHEN 'p' THEN 0 WHEN 'f' THEN 3 ELSE 2 END, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'x', 'f')"""
INDEXES = """SELECT indexrelid::regclass::text, CASE WHEN indisunique THEN 2 ELSE 1 END, pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid = %s::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))"""
MAY_OWN = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::regclass"
MAY_CREATE = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
WAIT = "SET LOCAL lock_timeout = '2s'"  # others queue behind a lock that is waited for
TRIGGER = "dbrouting_refuse_writes"
NOT_VALID = " NOT VALID"  # kept for new rows, and the old ones are looked at later
ENOUGH = 1 << 16  # bytes to be sent at once


class PostgreSQL(Engine):
    writes_side_by_side = True  # unique keys are taken off

    def prepare_session(self, connection: BaseDatabaseWrapper) -> None:
        """Each transaction prepares itself: see ``alike``."""

    def columns(self, connection: BaseDatabaseWrapper, table: str) -> dict[str, str]:
        return dict(rows_of(connection, COLUMNS, quoted(connection, table)))

    def size(self, connection: BaseDatabaseWrapper, table: str) -> tuple[int | None, int]:
        [(rows, size)] = rows_of(connection, SIZE, quoted(connection, table))
        return (rows if rows >= 0 else None), size

    def order(
        self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: str, key: Sequence[str]
    ) -> tuple[str, ...]:
        columns = super().order(source, target, table, key)
        if rows_of(source, COLLATION) == rows_of(target, COLLATION):
            return columns
        texts = {name for (name,) in rows_of(source, SORTED_BY_COLLATION, quoted(source, table))}
        return tuple(
            f'{column} COLLATE "C"' if name in texts else column for name, column in zip(key, columns, strict=True)
        )

    def shown(self, column: str) -> str:
        return f"{column}::text"

    def copy(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table, span: Range) -> int:
        condition, values = within(table.order, span)
        name, columns = quoted(source, table.name), columns_of(source, table)
        is_binary = table.is_alike and rows_of(source, OWN_TYPES, name) == [(0,)]
        how = f"(FORMAT {'binary' if is_binary else 'text'})"
        reads = f"COPY (SELECT {columns} FROM {name} WHERE {condition}) TO STDOUT {how}"
        with alike(source) as reading, alike(target) as writing, target.wrap_database_errors:
            writes = f"COPY {name} ({columns}) FROM STDIN {how}"
            with reading.cursor.copy(reads, values) as rows, writing.cursor.copy(writes) as copied:
                for block in blocks(rows):
                    copied.write(block)
            return int(writing.cursor.rowcount)

    def row_digest(
        self,
        source: BaseDatabaseWrapper,
        target: BaseDatabaseWrapper,
        columns: Mapping[str, str],
        theirs: Mapping[str, str],
    ) -> str:
        """The faster functions may give others in another version of the server.

        A row's hash adds up its columns': unless it is hashed again, rows that swapped a value would add up alike.
        """
        names = {name: quoted(source, name) for name in columns}
        if source.get_database_version()[:1] != target.get_database_version()[:1]:
            row = f"ROW({', '.join(names.values())})::text"
            return f"('x' || left(md5({row}), 16))::bit(64)::bigint"
        values = [
            names[name] if kind in EXACT and kind == theirs[name] else f'{names[name]}::text COLLATE "C"'
            for name, kind in columns.items()
        ]
        return f"hashint8extended(hash_record_extended(ROW({', '.join(values)}), 0), 0)"

    def reading(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper]:
        return alike(connection)

    def obstacles(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
        users = {connection: connection.settings_dict["USER"] for connection in (source, target)}
        strange = [table for table in tables if rows_of(source, MAY_OWN, quoted(source, table)) != [(True,)]]
        found = [
            f"The user {user!r} may not make anything in its schema on {connection.alias!r}: GRANT CREATE ON SCHEMA."
            for connection, user in users.items()
            if rows_of(connection, MAY_CREATE) != [(True,)]
        ]
        if strange:
            found.append(
                f"Writes to {', '.join(strange)} can't be blocked: they belong to a user other than {users[source]!r}. "
                "Run this as their owner."
            )
        return found

    def block(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        """TRUNCATE too, and in sessions that switch triggers off. Who holds the lock has seen all writers out."""
        names = [quoted(source, table) for table in tables]
        function = function_of(source, app_label)
        with atomic(using=source.alias), source.cursor() as cursor:
            cursor.execute(WAIT)
            cursor.execute(f"LOCK TABLE {', '.join(names)} IN SHARE ROW EXCLUSIVE MODE")
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'object_not_in_prerequisite_state'; "
                "END$$"
            )
            message = refusal(app_label).replace("'", "''")
            for name in names:
                cursor.execute(f"DROP TRIGGER IF EXISTS {TRIGGER} ON {name}")
                cursor.execute(
                    f"CREATE TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {name} "
                    f"EXECUTE FUNCTION {function.removesuffix('()')}('{message}')"
                )
                cursor.execute(f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {TRIGGER}")

    def unblock(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        with atomic(using=source.alias), source.cursor() as cursor:
            cursor.execute(WAIT)
            cursor.execute(f"DROP FUNCTION IF EXISTS {function_of(source, app_label)} CASCADE")  # and its triggers

    def is_blocked(self, source: BaseDatabaseWrapper, table: str, app_label: str) -> bool:
        query = "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s AND tgenabled = 'A'"
        return rows_of(source, query, quoted(source, table), TRIGGER) == [(1,)]

    def drop(self, connection: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        super().drop(connection, tables, app_label)
        self.unblock(connection, (), app_label)

    def shed(self, target: BaseDatabaseWrapper, tables: Sequence[str]) -> tuple[list[Definition], list[str]]:
        definitions: list[Definition] = []
        removals: dict[int, list[str]] = {0: [], 1: [], 2: [], 3: []}
        for table in tables:
            name = quoted(target, table)
            for constraint, rank, definition in rows_of(target, CONSTRAINTS, name):
                which = quoted(target, constraint)
                if definition.startswith("FOREIGN KEY") and not definition.endswith(NOT_VALID):
                    definitions.append((table, *AFTER_ALL, f"ALTER TABLE {name} VALIDATE CONSTRAINT {which}"))
                    definition += NOT_VALID
                definitions.append((table, rank, f"ALTER TABLE {name} ADD CONSTRAINT {which} {definition}"))
                removals[rank].append(f"ALTER TABLE {name} DROP CONSTRAINT {which}")
            for index, rank, definition in rows_of(target, INDEXES, name):
                definitions.append((table, rank, definition))
                removals[rank].append(f"DROP INDEX {index}")
        return definitions, [statement for rank in (3, 2, 1, 0) for statement in removals[rank]]


def blocks(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Rows come one by one, and each sent by itself would cost as much again."""
    block = bytearray()
    for row in rows:
        block += row
        if len(block) > ENOUGH:
            yield bytes(block)
            block.clear()
    yield bytes(block)


@contextmanager
def alike(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """A cursor in a transaction where values are written as on the other side."""
    with atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(ALIKE)
        yield cursor


def rows_of(connection: BaseDatabaseWrapper, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def columns_of(connection: BaseDatabaseWrapper, table: Table) -> str:
    return ", ".join(quoted(connection, column) for column in table.columns)


def function_of(connection: BaseDatabaseWrapper, app_label: str) -> str:
    return f"{quoted(connection, f'dbrouting_refuse_{app_label}')}()"
