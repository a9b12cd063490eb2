"""Copy a live tenant's rows on PostgreSQL: one snapshot, streamed by COPY, in memory that doesn't grow with them.

COPY writes values as text, so that it doesn't matter in which database or schema an enumeration's type is. Nobody waits
for the snapshot but those who alter its tables.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

from django.db.backends.utils import CursorWrapper

from tenants.errors import TenantError

BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Names are given with their schemas, nothing ends a copy that takes long, and no policy hides a row silently.
PREPARE = """SELECT set_config('search_path', '', true), set_config('row_security', 'off', true),
    set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"""

# In the order in which they were made, without those of extensions.
RELATIONS = """
SELECT nspname, relname, relkind,
    coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attname) FILTER (WHERE attgenerated = ''), ''),
    concat(string_agg(concat(attname, ' ', format_type(atttypid, atttypmod), attgenerated), ', ' ORDER BY attname))
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE nspname = ANY(%s) AND relkind IN ('r', 'p', 'f', 'm', 'S')
    AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
GROUP BY pg_class.oid, nspname ORDER BY pg_class.oid
"""
# What would refuse rows that come table by table, or do something with each; in pairs: away with it, and back.
FOREIGN_KEYS = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
    format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname,
        pg_get_constraintdef(pg_constraint.oid))
FROM pg_constraint JOIN pg_namespace ON pg_namespace.oid = connamespace
WHERE nspname = ANY(%s) AND contype = 'f' AND conparentid = 0
"""
TRIGGERS = """
SELECT format('ALTER TABLE %%s DISABLE TRIGGER %%I', tgrelid::regclass, tgname),
    format('ALTER TABLE %%s ENABLE %%s TRIGGER %%I', tgrelid::regclass,
        CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' END, tgname)
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY(%s) AND NOT tgisinternal AND tgenabled <> 'D' AND tgparentid = 0
"""
SEQUENCE = """SELECT coalesce(last_value, start_value), last_value IS NOT NULL FROM pg_sequences
    WHERE schemaname = %s AND sequencename = %s"""


class Relation(NamedTuple):
    """A table, a sequence or the like; ``columns`` are a list as SQL has it, without those that the server computes."""

    schema: str
    name: str
    kind: str
    columns: str
    definition: str

    def moved(self, schemas: Mapping[str, str]) -> Self:
        """As it is where its schema is called otherwise."""
        schema = schemas[self.schema]
        definition = self.definition.replace(f"{self.schema}.", f"{schema}.")
        return self._replace(schema=schema, definition=definition)


def copy_rows(reader: CursorWrapper, writer: CursorWrapper, schemas: Mapping[str, str], without: Sequence[str]) -> None:
    """Replace the rows of the writer's schemas by those of the reader's, all of them or none.

    Foreign keys are made anew at the end, which checks every row.
    """
    reader.execute(BEGIN_READING)
    writer.execute("BEGIN")
    for cursor in (reader, writer):
        cursor.execute(PREPARE)
    pairs = in_pairs(relations(reader, schemas.keys()), relations(writer, schemas.values()), schemas)
    with unhindered(writer, schemas.values()):
        empty(writer, [target for _, target in pairs if target.kind == "r"])
        for source, target in pairs:
            if source.kind == "r" and source.name not in without:
                copy_table(reader, source, writer, target)
            if source.kind == "S":
                copy_sequence(reader, source, writer, target)
    for _, target in pairs:
        if target.kind == "m":
            writer.execute(f"REFRESH MATERIALIZED VIEW {address(writer, target)}")
    writer.execute("COMMIT")


def relations(cursor: CursorWrapper, schemas: Iterable[str]) -> list[Relation]:
    cursor.execute(RELATIONS, [list(schemas)])
    return [Relation(*row) for row in cursor.fetchall()]


def in_pairs(
    sources: list[Relation], targets: list[Relation], schemas: Mapping[str, str]
) -> list[tuple[Relation, Relation]]:
    """Each with its like on the other side; TenantError if there are some that have none."""
    here = {source.moved(schemas): source for source in sources}
    if strangers := here.keys() ^ set(targets):
        raise TenantError(
            f"Not copied: {', '.join(sorted({one.name for one in strangers}))} in the original is not what the "
            "migrations make. Let a migration make it so everywhere, or remove it there, then copy again."
        )
    return [(source, moved) for moved, source in here.items()]


@contextmanager
def unhindered(writer: CursorWrapper, schemas: Iterable[str]) -> Iterator[None]:
    statements: list[tuple[str, str]] = []
    for find in (TRIGGERS, FOREIGN_KEYS):
        writer.execute(find, [list(schemas)])
        statements += writer.fetchall()
    for away, _ in statements:
        writer.execute(away)
    yield
    writer.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is still to be checked would keep tables from being altered
    for _, back in statements:
        writer.execute(back)


def empty(writer: CursorWrapper, tables: list[Relation]) -> None:
    if tables:
        writer.execute(f"TRUNCATE {', '.join(address(writer, table) for table in tables)}")


def copy_table(reader: CursorWrapper, source: Relation, writer: CursorWrapper, target: Relation) -> None:
    columns = f"({source.columns})" if source.columns else ""
    with (
        writer.db.wrap_database_errors,  # which Django does for statements
        reader.copy(f"COPY {address(reader, source)} {columns} TO STDOUT") as rows,
        writer.copy(f"COPY {address(writer, target)} {columns} FROM STDIN") as copy,
    ):
        for chunk in rows:
            copy.write(chunk)
    if reader.rowcount != writer.rowcount:
        raise TenantError(f"Not copied: of {reader.rowcount} rows of {source.name}, {writer.rowcount} arrived.")


def copy_sequence(reader: CursorWrapper, source: Relation, writer: CursorWrapper, target: Relation) -> None:
    """Read after the rows of its table, and seen by no snapshot: it is never behind them."""
    reader.execute(SEQUENCE, [source.schema, source.name])
    value, is_used = reader.fetchone()
    writer.execute("SELECT setval(%s::regclass, %s, %s)", [address(writer, target), value, is_used])


def address(cursor: CursorWrapper, relation: Relation) -> str:
    quote = cursor.db.ops.quote_name
    return f"{quote(relation.schema)}.{quote(relation.name)}"
