"""Which move is meant: one that is under way, or a new one."""

from collections.abc import Iterator

from dbrouting.aliases import is_somebody_elses, unlisted_aliases, usable_aliases
from dbrouting.inspection.inspector import problem_of
from dbrouting.moving.errors import MoveError
from dbrouting.moving.ledger import Ledger
from dbrouting.moving.move import Move
from dbrouting.routers import home_of


def move_of(app_label: str, source: str | None, target: str | None) -> Move:
    """What the arguments don't say, the ledger of a move that was begun does, or the map."""
    ledger = ledger_of(app_label)
    if ledger is None:
        if target is None:
            begin = f"python manage.py move_app {app_label} --to ALIAS"
            raise MoveError(f"{app_label} is not being moved. To begin: {begin}")
        return Move(app_label, source or home_of(app_label), target)
    found = Move(app_label, ledger.facts["source"], ledger.alias)
    if target not in (None, found.target) or source not in (None, found.source):
        raise MoveError(
            f"{app_label} is being moved from {found.source!r} to {found.target!r}. Go on: {found.command}\n"
            f"Or give up: {found.command} --abort"
        )
    return found


def ledger_of(app_label: str) -> Ledger | None:
    """Where a move of the app was begun, on whichever databases can be reached."""
    ledgers = (Ledger(alias, app_label) for alias in possible_targets())
    return next((ledger for ledger in ledgers if ledger.is_open()), None)


def possible_targets() -> Iterator[str]:
    """What can be reached of the databases that apps may be moved to. A copy of one has its ledger too, and late."""
    for alias in [*usable_aliases(), *unlisted_aliases()]:
        if not is_somebody_elses(alias) and not problem_of(alias):
            yield alias
