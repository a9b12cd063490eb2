"""A logical replication slot of PostgreSQL: from its making on, it tells which rows of some tables were written.

Nothing is subscribed: the slot is asked by SQL, so that neither server need reach the other. It keeps the server's log
from the place where it was last told to forget, and a publication of the same name says which tables it tells of.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic

from dbrouting.moving.on_postgresql import ALIKE, alike, rows_of
from dbrouting.moving.pgoutput import Commit, Decoder, Mark, Written
from dbrouting.moving.ranges import Key, Rows, Table
from dbrouting.provisioning import quoted

SETTING = "SELECT current_setting(%s)"
NOT_ALLOWED = "42501"
MAY_PUBLISH = "SELECT has_database_privilege(current_database(), 'CREATE')"
SLOTS_OF_OTHERS = "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> %s"
# No log tells of an unlogged table; what is attached to or truncated below another table, the log doesn't say of it.
IS_PLAIN = """SELECT relkind = 'r' AND relpersistence = 'p'
    AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = pg_class.oid OR inhrelid = pg_class.oid)
    FROM pg_class WHERE oid = %s::regclass"""
# The columns that the log names a row by that is gone; all of them if the identity is FULL, none if it is NOTHING.
IDENTITY = """SELECT attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    LEFT JOIN pg_index ON indrelid = pg_class.oid
        AND CASE relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident ELSE false END
    WHERE pg_class.oid = %s::regclass AND attnum > 0 AND (relreplident = 'f' OR attnum = ANY(indkey))"""
# What changes if a table's rows are written anew, other than one by one: that is not in the log.
SHAPE = """SELECT md5(concat(pg_class.oid, pg_relation_filenode(pg_class.oid),
    (SELECT array_agg(pg_attribute ORDER BY attnum) FROM pg_attribute WHERE attrelid = pg_class.oid)))
    FROM pg_class WHERE oid = %s::regclass"""
PREPARED = "SELECT gid, database FROM pg_prepared_xacts ORDER BY prepared"
PUBLISHED = "SELECT count(*) FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid WHERE pubname = %s"
STATE = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()"
MAKE = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"
PEEK = """SELECT xid::text::bigint, data FROM pg_logical_slot_peek_binary_changes('{name}', NULL, {at_once},
    'proto_version', '1', 'publication_names', '{name}', 'messages', 'true')"""
SNAPSHOT = "SELECT pg_current_snapshot()::text"
XIDS = 1 << 32  # numbers of transactions in the log; those of snapshots go on beyond
AT_ONCE = 20_000  # changes to be asked for; a transaction comes as a whole
FETCHED = 200  # with all the columns of a row, which may be long
PIECE = 2_000  # without them
PATIENCE = "60s"


class Snapshot(NamedTuple):
    """Which transactions a statement sees the end of."""

    xmin: int
    xmax: int
    under_way: frozenset[int]

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        xmin, xmax, under_way = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(xid) for xid in under_way.split(",") if xid))

    def sees(self, xid: int) -> bool:
        """``xid`` is a number from the log: half of them are before the snapshot, half after."""
        is_before = (xid - self.xmax) % XIDS >= XIDS // 2
        return is_before and xid not in {number % XIDS for number in self.under_way}


class Sum(NamedTuple):
    """How many rows, and what they add up to."""

    rows: int = 0
    total: int = 0

    def instead_of(self, other: "Sum", digest: str) -> str:
        """What a range's rows add up to, where these have taken the place of others."""
        rows, total = map(int, digest.replace("None", "0").split())
        found = Sum(rows - other.rows + self.rows, total - other.total + self.total)
        return f"{found.rows} {found.total if found.rows else None}"


class Read(NamedTuple):
    """Something from the log, and the transaction that wrote it."""

    xid: int
    what: Written | Commit | Mark


@dataclass(frozen=True)
class Slot:
    connection: BaseDatabaseWrapper
    name: str

    def make(self, tables: Sequence[str]) -> None:
        """In this order, or the slot would tell of writes from before there was a publication to be found.

        It waits for those who are writing, anywhere on the server; DatabaseError if they go on for too long.
        """
        self.drop()
        connection = self.connection
        names = ", ".join(quoted(connection, table) for table in tables)
        try:
            with atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '2s'")
                cursor.execute(f"CREATE PUBLICATION {self.name} FOR TABLE {names}")
            with atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
                cursor.execute(MAKE, [self.name])
        except DatabaseError:
            self.drop()
            raise

    def drop(self) -> None:
        """Also one that a killed run's session is still making or reading."""
        with self.connection.cursor() as cursor:
            find = "FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()"
            cursor.execute(f"SELECT pg_terminate_backend(active_pid, 5000) {find} AND active", [self.name])
            cursor.execute(f"SELECT pg_drop_replication_slot(slot_name) {find}", [self.name])
            cursor.execute(f"DROP PUBLICATION IF EXISTS {self.name}")

    def problem(self, tables: Sequence[str]) -> str:
        """Why it can't tell of all that was written since it was made; empty if it can."""
        states = rows_of(self.connection, STATE, self.name)
        if not states:
            return f"the replication slot {self.name} is gone"
        if states == [("lost",)]:
            return f"the replication slot {self.name} lost a part of the log (max_slot_wal_keep_size)"
        if rows_of(self.connection, PUBLISHED, self.name) != [(len(tables),)]:
            return f"the publication {self.name} was changed"
        return ""

    def mark(self) -> tuple[str, int]:
        """A text for the log, after all that was committed by now, and the number of its transaction.

        It is flushed to the disk, for nobody can read before, whatever this session's settings say.
        """
        text = uuid.uuid4().hex
        with atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = local")
            cursor.execute("SELECT pg_logical_emit_message(true, %s, %s)", [self.name, text])
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            return text, cursor.fetchone()[0]

    @contextmanager
    def peek(self, keys: Mapping[int, Sequence[str]]) -> Iterator[Iterator[list[Read]]]:
        """What comes next, piece by piece, since one transaction may be large; it comes again until ``forget``.

        Inside the block every statement sees what was committed before it, whatever this project's isolation level.
        """
        with atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(ALIKE)
            cursor.execute(
                f"DECLARE dbrouting_changes NO SCROLL CURSOR FOR {PEEK.format(name=self.name, at_once=AT_ONCE)}"
            )
            yield self._pieces(Decoder(keys))

    def _pieces(self, decoder: Decoder) -> Iterator[list[Read]]:
        piece: list[Read] = []
        while rows := rows_of(self.connection, f"FETCH {FETCHED} FROM dbrouting_changes"):
            piece += [Read(xid, what) for xid, data in rows for what in decoder.decode(bytes(data))]
            if len(piece) >= PIECE:
                yield piece
                piece = []
        yield piece

    def forget(self, end: str) -> None:
        """What was committed up to there needn't be told again."""
        rows_of(self.connection, "SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", self.name, end)


def obstacles(connection: BaseDatabaseWrapper, keys: Mapping[str, Sequence[str]], name: str) -> Iterator[str]:
    """Why no slot called so can tell of the tables with these keys, and what mends that."""
    user = connection.settings_dict["USER"]
    if rows_of(connection, SETTING, "wal_level") != [("logical",)]:
        yield "wal_level is not 'logical'. ALTER SYSTEM SET wal_level = 'logical', then restart the server"
    if not may_make_slots(connection):
        name = quoted(connection, user)
        yield (
            f"the user {user!r} may make no replication slot. ALTER ROLE {name} REPLICATION, or on Amazon RDS "
            f"GRANT rds_replication TO {name}"
        )
    if rows_of(connection, MAY_PUBLISH) != [(True,)]:
        yield f"the user {user!r} may make no publication. GRANT CREATE ON DATABASE"
    [(most,)] = rows_of(connection, SETTING, "max_replication_slots")
    if rows_of(connection, SLOTS_OF_OTHERS, name) >= [(int(most),)]:
        yield f"all {most} replication slots are in use. Drop one (pg_replication_slots), or allow more"
    if rows_of(connection, SETTING, "server_encoding") != [("UTF8",)]:
        yield "the database's encoding is not UTF8"
    for table, key in keys.items():
        place = quoted(connection, table)
        if rows_of(connection, IS_PLAIN, place) != [(True,)]:
            yield f"{table} is unlogged, partitioned or inherited, and the log doesn't tell all of it"
        if not set(key) <= {column for (column,) in rows_of(connection, IDENTITY, place)}:
            yield f"the log doesn't tell the keys of {table}. ALTER TABLE {place} REPLICA IDENTITY DEFAULT"


def may_make_slots(connection: BaseDatabaseWrapper) -> bool:
    """Only the server knows, for managed ones don't go by the attribute. It looks at the right before the name, and no
    slot can have this one.
    """
    try:
        with atomic(using=connection.alias):
            rows_of(connection, MAKE, "")
    except DatabaseError as error:
        return getattr(error.__cause__, "sqlstate", None) != NOT_ALLOWED
    return True


def prepared(connection: BaseDatabaseWrapper) -> str:
    """For whoever waits for transactions that are under way: those that no session has any more, which nobody sees."""
    if connection.vendor != "postgresql" or not (rows := rows_of(connection, PREPARED)):
        return ""
    names = ", ".join(f"{name!r} in the database {database!r}" for name, database in rows)
    return f" (prepared transactions go on until COMMIT PREPARED or ROLLBACK PREPARED: {names})"


def shape_of(connection: BaseDatabaseWrapper, table: str) -> str:
    [(shape,)] = rows_of(connection, SHAPE, quoted(connection, table))
    return str(shape)


def number_of(connection: BaseDatabaseWrapper, table: str) -> int:
    """What the log calls a table."""
    [(number,)] = rows_of(connection, "SELECT %s::regclass::oid::bigint", quoted(connection, table))
    return int(number)


def snapshot_of(connection: BaseDatabaseWrapper) -> "Snapshot":
    [(text,)] = rows_of(connection, SNAPSHOT)
    return Snapshot.of(text)


def rows_with(table: Table, connection: BaseDatabaseWrapper, keys: Sequence[tuple[str, ...]]) -> Rows:
    """Compared as the table compares its key, so that its index is used."""
    columns = ", ".join(quoted(connection, column) for column in table.key)
    values = [list(column) for column in zip(*keys, strict=True)]
    return Rows(table.name, 0, None, None, condition=f"({columns}) IN (SELECT {given(table)})", values=values)


def given(table: Table) -> str:
    """The key's columns of a SELECT whose values come as one array for each."""
    names = [f"given_{number}" for number, _ in enumerate(table.key)]
    casts = ", ".join(f"{name}::{table.columns[column]}" for name, column in zip(names, table.key, strict=True))
    return f"{casts} FROM unnest({', '.join('%s::text[]' for _ in names)}) AS given ({', '.join(names)})"


def sums_of(table: Table, connection: BaseDatabaseWrapper, bounds: Sequence[Key], span: Rows) -> dict[int, Sum]:
    """What single rows add up to, by the number of their range: that of the bounds, which end ranges, before a key."""
    columns = ", ".join(quoted(connection, column) for column in table.key)
    ends = [[str(value) for value in column] for column in zip(*bounds, strict=True)] or [[] for _ in table.key]
    query = f"""SELECT number, count(*), sum(row_sum) FROM (
        SELECT row_sum, is_bound, count(*) FILTER (WHERE is_bound) OVER (
            ORDER BY {", ".join(table.order)}, is_bound ROWS UNBOUNDED PRECEDING) AS number
        FROM (SELECT {table.row_digest} AS row_sum, false AS is_bound, {columns}
            FROM {quoted(connection, table.name)} WHERE {span.condition}
            UNION ALL SELECT NULL, true, {given(table)}) AS found
        ) AS numbered WHERE NOT is_bound GROUP BY number"""
    with alike(connection):
        found = rows_of(connection, query, *span.values, *ends)
    return {number: Sum(rows, int(total)) for number, rows, total in found}
