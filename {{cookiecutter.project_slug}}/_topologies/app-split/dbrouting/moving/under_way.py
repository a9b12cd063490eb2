"""Which moves have begun and not ended, for whoever meets one of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.core.management.base import CommandError
from django.db import connections

from dbrouting.inspection.findings import Finding
from dbrouting.moving.ledger import Ledger, Line, Step, has_table
from dbrouting.moving.move import Move
from dbrouting.moving.steps import ENDS
from dbrouting.moving.which import possible_targets
from dbrouting.provisioning import migration_lock


def moves_under_way() -> Iterator[Move]:
    """Those whose new database can be reached, where their ledger is."""
    for alias in possible_targets():
        if has_table(alias):
            for line in Line._base_manager.using(alias).filter(kind="move"):
                yield Move(line.app, Ledger(alias, line.app).facts["source"], alias)


def in_words(move: Move) -> str:
    return f"the move of {move.app_label} from {move.source!r} to {move.target!r}, which is {move.ledger.step}"


@contextmanager
def locked(alias: str) -> Iterator[None]:
    """Keep others from changing the tables on ``alias``; CommandError says who may be doing so."""
    with ExitStack() as stack:
        try:
            stack.enter_context(migration_lock(connections[alias]))
        except CommandError as error:
            moves = [in_words(move) for move in moves_under_way() if alias in (move.source, move.target)]
            if not moves:
                raise
            raise CommandError(
                f"On the database {alias!r} somebody is at work: {' or '.join(moves)}, or another `migrate`. Wait "
                "until it has ended, then run this command again."
            ) from error
        yield


def findings_about_apps(alias: str) -> dict[str, Finding]:
    """On either side of a move: whatever tables are there, they are the move's to drop."""
    return {
        move.app_label: Finding(
            "warning",
            f"There is {in_words(move)}. Drop none of its tables by hand. {ways_of(move)}",
            (next_command(move),),
        )
        for move in moves_under_way()
        if alias in (move.source, move.target)
    }


def next_command(move: Move) -> str:
    step = move.ledger.step
    if step is Step.FINISHED and move.is_switched:
        return f"{move.command} --drop-source"
    return f"{move.command} {ENDS.get(step, '')}".strip()


def ways_of(move: Move) -> str:
    if move.ledger.step in ENDS:
        return "To end it:"
    if move.is_switched:
        return "To go on:"
    return f"To give up: {move.command} --abort. To go on:"
