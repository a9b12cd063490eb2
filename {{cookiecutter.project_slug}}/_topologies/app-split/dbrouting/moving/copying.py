"""Copy the rows, range by range; each range's line in the ledger commits with its rows."""

from collections.abc import Iterator
from dataclasses import replace

from django.db import IntegrityError
from django.db.transaction import atomic

from dbrouting.moving.errors import MoveError
from dbrouting.moving.jobs import read_side_by_side, write_side_by_side
from dbrouting.moving.move import Move
from dbrouting.moving.ranges import Range, Table


def copy_table(move: Move, table: Table) -> None:
    """From where an earlier run has come to, while others go on writing."""
    write_side_by_side(move, lambda span: copy_early(move, table, span), ranges_to_copy(move, table))


def ranges_to_copy(move: Move, table: Table) -> Iterator[Range]:
    """Each is in the ledger before it is copied, for jobs come to the end of theirs in any order."""
    known = list(move.ledger.ranges(table.name))
    yield from (span for span in known if span.rows is None)
    last = known[-1] if known else None
    while last is None or last.upper is not None:
        last = range_after(move, table, last)
        move.ledger.add_range(last)
        yield last


def range_after(move: Move, table: Table, last: Range | None) -> Range:
    lower, number = (last.upper, last.number + 1) if last else (None, 0)
    return Range(table.name, number, lower, move.engine.end_of_range(move.old, table, lower, move.size_of_range))


def copy_early(move: Move, table: Table, span: Range) -> None:
    """A unique value that went from one row to another meanwhile may come twice: that range waits for its turn."""
    try:
        with atomic(using=move.target):
            rows = move.engine.copy(move.old, move.new, table, span)
            move.ledger.update_range(replace(span, rows=rows))
    except IntegrityError:
        if move.is_switched:
            raise
    else:
        move.progress(rows)


def catch_up(move: Move, table: Table) -> None:
    """Compare each range that has no digest, now that nobody writes to the source; copy those again that differ.

    All of these are removed before the first is copied: what is left is as in the source, where no value comes twice.
    """
    unsure = [span for span in move.ledger.ranges(table.name) if not span.digest]
    stale = differing(move, table, unsure)
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


def differing(move: Move, table: Table, spans: list[Range]) -> list[Range]:
    """Those of the ranges that aren't the same on both sides."""
    found: list[Range] = []

    def compare(span: Range) -> None:
        if not is_same(move, table, span):
            found.append(span)

    read_side_by_side(move, compare, spans)
    return sorted(found, key=lambda span: span.number)


def is_same(move: Move, table: Table, span: Range) -> bool:
    """Whether both sides have the same rows; what these add up to goes into the ledger."""
    if span.rows is None:
        return False
    digest = move.engine.digest(move.old, table, span)
    theirs = move.engine.digest(move.new, table, span)
    move.progress(span.rows)
    if digest != theirs:
        return False
    span.digest = digest
    move.ledger.update_range(span)
    return True
