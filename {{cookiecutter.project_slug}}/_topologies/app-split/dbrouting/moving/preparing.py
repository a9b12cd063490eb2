"""Empty tables in the new database, by the app's migrations."""

from django.apps import apps
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import QuerySet
from django.db.transaction import atomic

from dbrouting.administration import advice
from dbrouting.inspection.inspector import AGAIN
from dbrouting.moving.engines import REFERENCES, execute_all
from dbrouting.moving.errors import MoveError
from dbrouting.moving.jobs import write_side_by_side
from dbrouting.moving.ledger import Line, Step
from dbrouting.moving.move import Move
from dbrouting.provisioning import create_database, quoted
from dbrouting.reachability import describe
from dbrouting.routers import OUTBOX


def make_database(move: Move) -> None:
    try:
        create_database(move.new)
    except DatabaseError as error:
        reason = describe(move.target, error, then=move.command)
        raise MoveError(reason + advice(connections.settings[move.target])) from error


def begin(move: Move) -> None:
    """Open the ledger: from here on, tables that aren't there yet are the move's to make, and to remove."""
    present = tables_present(move)
    if present and present != move.names:
        raise MoveError(
            f"On {move.target!r} there are some tables of {move.app_label}, but not all: {', '.join(present)}. "
            f"{AGAIN} --database={move.target} says how to mend that."
        )
    for name in present:
        if not is_empty(move, name):
            raise MoveError(
                f"{name} on {move.target!r} has rows already. They would be mixed with those that come: remove them "
                "first, if they may go."
            )
    move.ledger.open(source=move.source, is_made=not present, recorded=recorded(move))


def prepare(move: Move) -> None:
    if move.ledger.facts["is_made"]:
        make_tables(move)
    shed(move)


def make_tables(move: Move) -> None:
    """What a killed run left, and what a ``migrate`` in the wrong database recorded, is forgotten before."""
    drop_tables(move)
    beside = companions(move)
    forget(move, *beside)
    with move.as_if_switched():
        executor = MigrationExecutor(move.new)
        leaves_of = executor.loader.graph.leaf_nodes
        executor.migrate([leaf for label in (move.app_label, *beside) for leaf in leaves_of(label)])
    missing = set(move.names) - set(tables_present(move))
    if missing:
        raise MoveError(f"The migrations of {move.app_label} don't make {', '.join(sorted(missing))}.")
    # Rows that migrations put there come from the source, too.
    execute_all(move.new, (f"DELETE FROM {quoted(move.new, name)}" for name in move.names))


def companions(move: Move) -> list[str]:
    """The app that must be beside every other, where it isn't yet."""
    if OUTBOX not in apps.app_configs:
        return []
    tables = {model._meta.db_table for model in apps.get_app_config(OUTBOX).get_models()}
    return [] if tables <= set(move.new.introspection.table_names()) else [OUTBOX]


def drop_tables(move: Move) -> None:
    """And the records of their migrations."""
    move.engine.drop(move.new, move.names, move.app_label)
    forget(move, move.app_label)


def forget(move: Move, *labels: str) -> None:
    recorder = MigrationRecorder(move.new)
    for label, name in recorder.applied_migrations():
        if label in labels:
            recorder.record_unapplied(label, name)


def recorded(move: Move) -> list[str]:
    """The app's migrations that the target takes for applied; each database records those of all apps."""
    return sorted(name for app, name in MigrationRecorder(move.new).applied_migrations() if app == move.app_label)


def record(move: Move) -> None:
    """As before the move."""
    for name in move.ledger.facts["recorded"]:
        MigrationRecorder(move.new).record_applied(move.app_label, name)


def shed(move: Move) -> None:
    """Take off what would be kept up to date with each row; what that was is in the ledger, or nothing was done."""
    definitions, removals = move.engine.shed(move.new, move.names)
    with atomic(using=move.target):
        move.ledger.add_definitions(definitions)
        execute_all(move.new, removals)
        move.ledger.reach(Step.PREPARED)


def restore(move: Move, ranks: tuple[int, ...]) -> None:
    """Make again what was taken off, each as soon as it can be."""
    for rank in ranks:
        lines = list(move.ledger.definitions(rank))
        if rank == REFERENCES:
            for line in lines:
                make_again(move, line)
        else:
            write_side_by_side(move, lambda line: make_again(move, line), lines)


def make_again(move: Move, definition: tuple[str, QuerySet[Line]]) -> None:
    statement, line = definition
    with atomic(using=move.target):
        execute_all(move.new, [statement])
        line.delete()


def tables_present(move: Move) -> list[str]:
    present = set(move.new.introspection.table_names())
    return [name for name in move.names if name in present]


def is_empty(move: Move, name: str) -> bool:
    with move.new.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {quoted(move.new, name)} LIMIT 1")
        return cursor.fetchone() is None
