"""The old tables refuse writes, and so do new ones that are to go.

The database sees to it, whoever writes, and whether this process lives or not.
"""

import time
from collections.abc import Callable, Sequence

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.moving.errors import MoveError
from dbrouting.moving.move import Move
from dbrouting.moving.slots import prepared

ATTEMPTS = 30
PAUSE = 1.0


def block(move: Move) -> None:
    patiently(move, move.old, move.engine.block)


def unblock(move: Move) -> None:
    patiently(move, move.old, move.engine.unblock)


def block_target(move: Move) -> None:
    """Before the new tables are dropped: whoever has the new map already is refused from then on."""
    patiently(move, move.new, move.engine.block)


def unblock_target(move: Move) -> None:
    patiently(move, move.new, move.engine.unblock)


def is_blocked(move: Move) -> bool:
    return all(move.engine.is_blocked(move.old, name, move.app_label) for name in move.names)


def patiently(
    move: Move, connection: BaseDatabaseWrapper, act: Callable[[BaseDatabaseWrapper, Sequence[str], str], None]
) -> None:
    """Wait for writers in short attempts: all others would queue behind one long one."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        try:
            return act(connection, move.names, move.app_label)
        except OperationalError as error:
            reason = error
    said = " ".join(f"{reason}{prepared(connection)}".split())
    raise MoveError(
        f"Somebody has been writing to {move.app_label} on {connection.alias!r} in one transaction all the while: "
        f"{said}\nWait until that has ended, then repeat this command."
    ) from reason
