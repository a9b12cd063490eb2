"""What a move would do, what stands in its way and what it will break; nothing is written."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.core.checks import ERROR, CheckMessage, run_checks
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from dbrouting.aliases import is_dummy, is_somebody_elses, usable_aliases
from dbrouting.checks import TAG
from dbrouting.inspection.inspector import problem_of
from dbrouting.moving import leftovers
from dbrouting.moving.crossing import relations
from dbrouting.moving.errors import MoveError
from dbrouting.moving.following import window
from dbrouting.moving.move import Move
from dbrouting.moving.preparing import is_empty, recorded, tables_present
from dbrouting.provisioning import database_exists, is_in_memory, name_of, quoted, sqlite_path
from dbrouting.routers import OUTBOX

ADDRESS = ("HOST", "PORT", "NAME")
IDENTITY = {
    "postgresql": "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()",
    "mysql": "SELECT @@hostname, @@port, @@datadir, DATABASE()",
}


@dataclass
class TablePlan:
    model: str
    table: str
    estimated_rows: int | None
    rows: int
    bytes: int


@dataclass
class Plan:
    app_label: str
    source: str
    target: str
    tables: list[TablePlan]
    # To and from models of other apps, and what becomes of them.
    relations: list[str]
    # Why it can't be done.
    problems: list[str]
    # What will be different, and what won't.
    remarks: list[str]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "rows": self.rows, "bytes": self.bytes}


def plan_of(move: Move) -> Plan:
    require_sense(move)
    if missing := set(move.names) - set(move.old.introspection.table_names(include_views=True)):
        raise MoveError(
            f"{move.app_label} has no table {', '.join(sorted(missing))} on {move.source!r}. Name the database that "
            f"has its rows: {move.command} --from ALIAS"
        )
    before = {str(message) for message in run_checks(tags=[TAG])}
    with move.as_if_switched():
        broken = [message for message in run_checks(tags=[TAG]) if str(message) not in before]
    is_new = not database_exists(move.new)
    return Plan(
        move.app_label,
        move.source,
        move.target,
        [table_plan(move, model._meta.label, model._meta.db_table) for model in move.models],
        list(relations(move)),
        [*problems(move, is_new), *(in_words(message) for message in broken if message.level >= ERROR)],
        [
            window(move),
            *remarks_about(move, is_new),
            *(in_words(message) for message in broken if message.level < ERROR),
            *leftovers.remarks(move),
        ],
    )


def require_sense(move: Move) -> None:
    """Whether these are two databases that an app can go from and to; the new one need not be there yet."""
    for alias in (move.source, move.target):
        if alias not in connections.settings or is_dummy(alias):
            raise MoveError(
                f"No database is called {alias!r}. There are: {', '.join(usable_aliases())}. A new one is listed in "
                "DATABASES, in config/databases.py."
            )
        if is_somebody_elses(alias):
            raise MoveError(
                f"{alias!r} is only read, and a move writes on both sides. If it is a copy of another database, name "
                "that one instead."
            )
    if move.app_label == OUTBOX:
        raise MoveError(f"{OUTBOX} is in every database that holds tables: it doesn't move.")
    if not move.names:
        raise MoveError(f"{move.app_label} has no tables to move.")
    if move.source == move.target:
        raise MoveError(
            f"{move.app_label} lives on {move.target!r} already. If its rows are elsewhere, say where: "
            f"{move.command} --from ALIAS"
        )
    old, new = move.old, move.new
    if old.vendor != new.vendor:
        raise MoveError(f"{move.source!r} is {old.display_name}, {move.target!r} is {new.display_name}.")
    if name_of(old) == name_of(new) and all(old.settings_dict[key] == new.settings_dict[key] for key in ADDRESS):
        raise MoveError(f"{move.source!r} and {move.target!r} are the same database: there is nothing to move.")
    if problem := problem_of(move.source) or (database_exists(new) and problem_of(move.target)):
        raise MoveError(problem)
    if database_exists(new) and identity_of(old) == identity_of(new):
        raise MoveError(f"{move.source!r} and {move.target!r} are the same database: there is nothing to move.")


def identity_of(connection: BaseDatabaseWrapper) -> object:
    """The same for every address that leads there, be it a name, a number, a link or a pooler's."""
    if connection.vendor == "sqlite":
        return name_of(connection) if is_in_memory(connection) else sqlite_path(connection).resolve()
    with connection.cursor() as cursor:
        cursor.execute(IDENTITY[connection.vendor])
        return cursor.fetchone()


def losses_of(move: Move) -> Iterator[str]:
    """What dropping the old tables removes; an earlier run may have dropped some."""
    present = move.old.introspection.table_names(include_views=True)
    for model in move.models:
        if model._meta.db_table in present:
            table = table_plan(move, model._meta.label, model._meta.db_table)
            yield f"{table.table} on {move.source!r}: {table.rows} rows, {table.bytes} bytes"


def table_plan(move: Move, label: str, table: str) -> TablePlan:
    estimated, size = move.engine.size(move.old, table)
    with move.old.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {quoted(move.old, move.engine.stored_as(move.old, table))}")
        return TablePlan(label, table, estimated, cursor.fetchone()[0], size)


def problems(move: Move, is_new: bool) -> Iterator[str]:
    if not has_migrations(move):
        yield (
            f"{move.app_label} has no migrations to make its tables by. First run: python manage.py makemigrations "
            f"{move.app_label}; and where the tables are: python manage.py migrate {move.app_label} --fake-initial"
        )
    elif not move.is_switched and (pending := unapplied(move)):
        yield (
            f"Migrations of {move.app_label} aren't applied on {move.source!r}: {', '.join(pending)}. First run: "
            f"python manage.py migrate --database={move.source}"
        )
    if not is_new and not move.ledger.is_open():
        yield from (
            f"{name} on {move.target!r} has rows already: remove them first, if they may go."
            for name in tables_present(move)
            if not is_empty(move, name)
        )
    yield from move.engine.obstacles(move.old, move.old if is_new else move.new, move.names)


def has_migrations(move: Move) -> bool:
    return any(app == move.app_label for app, _ in MigrationLoader(None).graph.nodes)


def unapplied(move: Move) -> list[str]:
    executor = MigrationExecutor(move.old)
    wanted = {key for key in executor.loader.graph.nodes if key[0] == move.app_label}
    return sorted(name for _, name in wanted - executor.loader.applied_migrations.keys())


def remarks_about(move: Move, is_new: bool) -> Iterator[str]:
    if is_new:
        yield f"The database {move.target!r} isn't there yet: it will be made."
    elif recorded(move) and not tables_present(move) and not move.ledger.is_open():
        yield (
            f"The migrations of {move.app_label} will run on {move.target!r}, which has none of its tables: that they "
            "are recorded there is as it should be, for every database records those of all apps."
        )


def in_words(message: CheckMessage) -> str:
    return f"{message.msg} {message.hint or ''} ({message.id})".replace("  ", " ")
