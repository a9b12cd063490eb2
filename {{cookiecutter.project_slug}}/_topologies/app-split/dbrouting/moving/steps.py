"""The steps of a move, each of which can be repeated: a run goes on after the last one that the ledger has."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from django.db import DatabaseError

from dbrouting.moving.blocking import block, block_target, is_blocked, unblock, unblock_target
from dbrouting.moving.copying import catch_up, copy_table
from dbrouting.moving.engines import AFTER_ALL, AFTER_BLOCK, BEFORE_BLOCK
from dbrouting.moving.errors import MoveError
from dbrouting.moving.following import follow, leave, settle, watch
from dbrouting.moving.ledger import Step
from dbrouting.moving.leftovers import carry_receipts, count_on
from dbrouting.moving.move import Move
from dbrouting.moving.preparing import begin, drop_tables, prepare, record, restore
from dbrouting.moving.verifying import changed_since
from dbrouting.targets import get_targets

Tell = Callable[[str], object]


@contextmanager
def at_work(move: Move) -> Iterator[None]:
    """One move at a time, and no ``migrate`` on either side; what a database says is told in words."""
    with ExitStack() as stack:
        for alias in (move.target, move.source):
            stack.enter_context(get_targets().lock(alias))
        try:
            with move.sessions():
                yield
        except DatabaseError as error:
            raise MoveError(
                f"{move.app_label} was not moved further, from {move.source!r} to {move.target!r}: "
                f"{' '.join(str(error).split())}\nMend the cause, then go on: {move.command}\n"
                f"Or give up: {move.command} --abort"
            ) from error


def move_rows(move: Move, tell: Tell) -> None:
    """Until both sides have the same rows, and the source refuses writes."""
    with at_work(move):
        if not move.ledger.is_open():
            begin(move)
        require_no_end(move, *ENDS)
        if move.is_switched:
            block(move)  # the application uses the target, and nothing there may be overwritten
        for step, work in WORK.items():
            if move.ledger.step.is_before(step):
                tell(MESSAGES[step].format(move=move))
                move.prepare_sessions()
                if said := work(move):
                    tell(said)
        if not move.is_switched and not is_blocked(move):
            raise MoveError(
                f"Writes to {move.app_label} on {move.source!r} aren't blocked any more; a migration may have made the "
                f"tables anew. Rows may be missing on {move.target!r}. Begin anew: {move.command} --abort"
            )
        leave(move)
        unblock_target(move)  # a killed --abort left it so
        restore(move, AFTER_ALL)


def copy(move: Move) -> None:
    for table in move.tables():
        copy_table(move, table)
    move.ledger.reach(Step.COPIED)


def index(move: Move) -> None:
    restore(move, BEFORE_BLOCK)
    move.ledger.reach(Step.INDEXED)


def refuse_writes(move: Move) -> str | None:
    """What was followed before goes on to be, if a run ended in between."""
    said = follow(move)
    block(move)
    move.ledger.reach(Step.BLOCKED, blocked_at=time.time())
    return said


def finish(move: Move) -> str | None:
    said = settle(move)
    for table in move.tables():
        catch_up(move, table)
    restore(move, AFTER_BLOCK)
    move.new.check_constraints(table_names=move.names)
    for model in move.models:
        count_on(move, model)
    carry_receipts(move)
    move.ledger.reach(Step.FINISHED, seconds=time.time() - move.ledger.facts["blocked_at"])
    return said


# Each may have something to say.
WORK: dict[Step, Callable[[Move], str | None]] = {
    Step.PREPARED: prepare,
    Step.WATCHED: watch,
    Step.COPIED: copy,
    Step.INDEXED: index,
    Step.BLOCKED: refuse_writes,
    Step.FINISHED: finish,
}
ENDS = {Step.DROPPING: "--drop-source", Step.ABORTING: "--abort"}
MESSAGES = {
    Step.PREPARED: "Making the tables of {move.app_label} on {move.target!r}.",
    Step.WATCHED: "Beginning to follow what is written to {move.source!r}.",
    Step.COPIED: "Copying rows from {move.source!r}, where writes go on.",
    Step.INDEXED: "Making their keys and indexes.",
    Step.BLOCKED: "Catching up, then blocking writes to {move.app_label} on {move.source!r}.",
    Step.FINISHED: "Comparing both sides, and copying what has changed meanwhile.",
}


def abort(move: Move) -> None:
    """The source is as it was, and the target has nothing of the app."""
    if move.is_switched:
        raise MoveError(
            f"The map has {move.app_label} on {move.target!r}, where its tables would be removed. Map it to "
            f"{move.source!r} first, restart every process that uses the map, then run: {move.command} --abort"
        )
    with at_work(move):
        require_no_end(move, Step.DROPPING)
        if move.ledger.step is Step.FINISHED:
            require_unwritten(move)
        move.ledger.reach(Step.ABORTING)
        leave(move)
        unblock(move)
        if move.ledger.facts["is_made"]:
            drop_tables(move)
            record(move)
        else:
            move.engine.empty(move.new, move.names, move.app_label)
            restore(move, BEFORE_BLOCK + AFTER_BLOCK + AFTER_ALL)
        move.ledger.close()


def require_unwritten(move: Move) -> None:
    """The new tables refuse writes before they are compared, for a row that came after that would go with them."""
    block_target(move)
    try:
        if changed := changed_since(move, move.new):
            raise MoveError(
                f"On {move.target!r}, rows were written since both sides were the same: {changed[0]}. They would be "
                f"lost. Map {move.app_label} to {move.target!r}, or copy what you need and remove the tables there."
            )
    except BaseException:
        unblock_target(move)
        raise


def drop_source(move: Move) -> None:
    """Remove the old tables, if they still have the rows that both sides had, and nobody could change them since."""
    if not move.is_switched:
        raise MoveError(
            f"The map has {move.app_label} on {move.source!r}, where its tables would be dropped. {switch(move)}"
        )
    with at_work(move):
        require_no_end(move, Step.ABORTING)
        step = move.ledger.step
        if step.is_before(Step.FINISHED):
            raise MoveError(f"The move of {move.app_label} is only {step}. Go on: {move.command}")
        if step is Step.FINISHED:
            require_unchanged(move)
            move.ledger.reach(Step.DROPPING)
        leave(move)
        unblock_target(move)  # a killed --abort left it so
        restore(move, AFTER_ALL)
        move.engine.drop(move.old, move.names, move.app_label)
        move.ledger.close()


def require_no_end(move: Move, *ends: Step) -> None:
    if (step := move.ledger.step) in ends:
        raise MoveError(f"The move of {move.app_label} is {step} already. Go on: {move.command} {ENDS[step]}")


def require_unchanged(move: Move) -> None:
    if not is_blocked(move):
        raise MoveError(
            f"Writes to {move.app_label} on {move.source!r} aren't blocked any more, so rows may have been written "
            f"there that {move.target!r} lacks. Compare the two, and drop the tables by hand."
        )
    if changed := changed_since(move, move.old):
        raise MoveError(
            f"On {move.source!r}, rows are others than those that were moved: {changed[0]}. Nothing was dropped."
        )


def switch(move: Move) -> str:
    """What to do once both sides are the same."""
    return (
        f"Now switch: in config/databases.py, in DATABASE_APPS_MAPPING,\n"
        f'    "{move.app_label}": "{move.target}",\n'
        f"or, in the environment of every process,\n"
        f"    DATABASE_APPS_MAPPING={move.app_label}={move.target}\n"
        f"and restart them all. Then, when nothing needs the old tables any more:\n    {move.command} --drop-source"
    )
