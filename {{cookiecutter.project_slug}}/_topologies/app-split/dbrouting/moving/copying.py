"""Copy the rows, range by range; each range's line in the ledger commits with its rows."""

from concurrent.futures import ThreadPoolExecutor

from django.db import IntegrityError
from django.db.transaction import atomic

from dbrouting.moving.errors import MoveError
from dbrouting.moving.move import Move
from dbrouting.moving.ranges import Range, Table


def copy_table(move: Move, table: Table) -> None:
    """From where an earlier run has come to, while others go on writing."""
    done = list(move.ledger.ranges(table.name))
    if done and done[-1].upper is None:
        return
    lower, number = (done[-1].upper, len(done)) if done else (None, 0)
    while True:
        upper = move.engine.end_of_range(move.old, table, lower, move.size_of_range)
        span = Range(table.name, number, lower, upper)
        copy_early(move, table, span)
        move.progress(span.rows or 0)
        if upper is None:
            return
        lower, number = upper, number + 1


def copy_early(move: Move, table: Table, span: Range) -> None:
    """A unique value that went from one row to another meanwhile may come twice: that range waits for its turn."""
    try:
        with atomic(using=move.target):
            span.rows = move.engine.copy(move.old, move.new, table, span)
            move.ledger.add_range(span)
    except IntegrityError:
        if move.is_switched:
            raise
        span.rows = None
        move.ledger.add_range(span)


def catch_up(move: Move, table: Table) -> None:
    """Compare each range that has no digest, now that nobody writes to the source; copy those again that differ.

    All of these are removed before the first is copied: what is left is as in the source, where no value comes twice.
    """
    unsure = [span for span in move.ledger.ranges(table.name) if not span.digest]
    stale = [span for span in unsure if not is_same(move, table, span)]
    if stale and move.is_switched:
        raise MoveError(
            f"On {move.target!r}, {stale[0]} are other rows than on {move.source!r}: somebody writes there, for the "
            f"map has {move.app_label} there already. Map it to {move.source!r} again, restart what uses the map, keep "
            f"what was written there, for it goes, and begin anew: {move.command} --abort"
        )
    for span in stale:
        with atomic(using=move.target):
            move.engine.delete(move.new, table, span)
            span.rows = None
            move.ledger.update_range(span)
    for span in stale:
        with atomic(using=move.target):
            span.rows = move.engine.copy(move.old, move.new, table, span)
            move.ledger.update_range(span)
        if not is_same(move, table, span):
            raise MoveError(
                f"{span}: the rows on {move.target!r} are not those on {move.source!r}, though they were just copied. "
                f"The source is as it was. To give up: {move.command} --abort"
            )


def is_same(move: Move, table: Table, span: Range) -> bool:
    """Whether both sides have the same rows; what these add up to goes into the ledger."""
    if span.rows is None:
        return False
    with ThreadPoolExecutor(max_workers=1) as beside:  # two servers work at the same time
        theirs = beside.submit(move.engine.digest, move.new, table, span)
        digest = move.engine.digest(move.old, table, span)
    move.progress(span.rows)
    if digest != theirs.result():
        return False
    span.digest = digest
    move.ledger.update_range(span)
    return True
