"""What moving needs of an engine, and what most of them have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic

from dbrouting.moving.ranges import Key, Range, Table, within
from dbrouting.provisioning import quoted

# When the window is over already.
AFTER_ALL = (4,)

# Of something that is taken off a table before its rows come: the table, when to make it again, the statement for that.
Definition = tuple[str, int, str]
BEFORE_BLOCK, AFTER_BLOCK, REFERENCES = (0, 1), (2, 3), 3


class Engine(ABC):
    """Every method takes the connections that it works on; ``source`` and ``target`` are of the same engine."""

    # Whether several sessions are faster than one, and whether what they write doesn't wait for each other.
    reads_side_by_side = True
    writes_side_by_side = False

    @abstractmethod
    def prepare_session(self, connection: BaseDatabaseWrapper) -> None:
        """Let values come and go as they are; the session is closed in the end."""

    @abstractmethod
    def columns(self, connection: BaseDatabaseWrapper, table: str) -> dict[str, str]:
        """Names and types, without those that the server computes."""

    @abstractmethod
    def size(self, connection: BaseDatabaseWrapper, table: str) -> tuple[int | None, int]:
        """About how many rows a table has, and how many bytes it takes with its indexes; without counting."""

    def order(
        self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: str, key: Sequence[str]
    ) -> tuple[str, ...]:
        """The key as SQL that both sort alike."""
        return tuple(quoted(source, column) for column in key)

    def shown(self, column: str) -> str:
        """A key's column as SQL whose value can be kept as JSON, and compared with the column."""
        return column

    def stored_as(self, connection: BaseDatabaseWrapper, table: str) -> str:
        """Where the rows of ``table`` are: blocking may put them aside."""
        return table

    def end_of_range(self, source: BaseDatabaseWrapper, table: Table, lower: Key | None, size: int) -> Key | None:
        """The key ``size`` rows after ``lower``; ``None`` if there are not so many."""
        condition, values = within(table.order, Range(table.name, 0, lower, None))
        # By names of their own, or ORDER BY would mean what is shown.
        shown = ", ".join(f"{self.shown(quoted(source, name))} AS key_{n}" for n, name in enumerate(table.key))
        with source.cursor() as cursor:
            cursor.execute(
                f"SELECT {shown} FROM {self.place(source, table)} WHERE {condition} "
                f"ORDER BY {', '.join(table.order)} LIMIT 1 OFFSET {size - 1}",
                values,
            )
            row = cursor.fetchone()
        return row and tuple(value if isinstance(value, int | float) else str(value) for value in row)

    def place(self, connection: BaseDatabaseWrapper, table: Table) -> str:
        return quoted(connection, self.stored_as(connection, table.name))

    @abstractmethod
    def copy(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table, span: Range) -> int:
        """Copy a range's rows in memory that doesn't grow with them; gives their number."""

    def delete(self, target: BaseDatabaseWrapper, table: Table, span: Range) -> None:
        condition, values = within(table.order, span)
        with target.cursor() as cursor:
            cursor.execute(f"DELETE FROM {quoted(target, table.name)} WHERE {condition}", values)

    def row_digest(
        self,
        source: BaseDatabaseWrapper,
        target: BaseDatabaseWrapper,
        columns: Mapping[str, str],
        theirs: Mapping[str, str],
    ) -> str:
        """A number for a row as SQL, the same for the same row on both sides; empty where ``digest`` needs none."""
        return ""

    def digest(self, connection: BaseDatabaseWrapper, table: Table, span: Range) -> str:
        """What a range's rows add up to, in whatever order they come."""
        condition, values = within(table.order, span)
        with self.reading(connection) as cursor:
            cursor.execute(
                f"SELECT COUNT(*), SUM({table.row_digest}) FROM {self.place(connection, table)} WHERE {condition}",
                values,
            )
            return " ".join(map(str, cursor.fetchone()))

    def reading(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper]:
        """A cursor for which values are written as on the other side."""
        return connection.cursor()

    def obstacles(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
        """What this user may not do, and would have to."""
        return []

    @abstractmethod
    def block(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        """Let the database refuse writes to all of the tables, after those under way; OperationalError if they last."""

    @abstractmethod
    def unblock(self, source: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None: ...

    @abstractmethod
    def is_blocked(self, source: BaseDatabaseWrapper, table: str, app_label: str) -> bool: ...

    def empty(self, connection: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        """Leave the tables without rows, taking writes: none that was refused until then goes, too."""
        with atomic(using=connection.alias):
            self.unblock(connection, tables, app_label)
            execute_all(connection, (f"DELETE FROM {quoted(connection, table)}" for table in tables))

    def drop(self, connection: BaseDatabaseWrapper, tables: Sequence[str], app_label: str) -> None:
        """Drop what is there of the tables, blocked or not."""
        present = set(connection.introspection.table_names())
        with connection.constraint_checks_disabled(), connection.schema_editor() as editor:
            for table in tables:
                if table in present:
                    editor.execute(editor.sql_delete_table % {"table": quoted(connection, table)})

    def shed(self, target: BaseDatabaseWrapper, tables: Sequence[str]) -> tuple[list[Definition], list[str]]:
        """What makes loading slow, as statements that make it again, and the statements that take it off."""
        return [], []


def refusal(app_label: str) -> str:
    """What somebody is told who writes to the old tables."""
    return (
        f"{app_label} is being moved to another database (manage.py move_app {app_label}). Try again later; if it has "
        "been moved, restart this process with the new DATABASE_APPS_MAPPING."
    )


def execute_all(connection: BaseDatabaseWrapper, statements: Iterable[str]) -> None:
    """In one transaction, where the engine has that for what changes tables."""
    with atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def engine_of(connection: BaseDatabaseWrapper) -> Engine:
    from dbrouting.moving.on_mysql import MySQL
    from dbrouting.moving.on_postgresql import PostgreSQL
    from dbrouting.moving.on_sqlite import SQLite

    engines: dict[str, type[Engine]] = {"sqlite": SQLite, "postgresql": PostgreSQL, "mysql": MySQL}
    return engines[connection.vendor]()
