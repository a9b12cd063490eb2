"""The old tables refuse writes: the database sees to it, whoever writes, and whether this process lives or not."""

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
    patiently(move, move.engine.block)


def unblock(move: Move) -> None:
    patiently(move, move.engine.unblock)


def is_blocked(move: Move) -> bool:
    return all(move.engine.is_blocked(move.old, name, move.app_label) for name in move.names)


def patiently(move: Move, act: Callable[[BaseDatabaseWrapper, Sequence[str], str], None]) -> None:
    """Wait for writers in short attempts: all others would queue behind one long one."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        try:
            return act(move.old, move.names, move.app_label)
        except OperationalError as error:
            reason = error
    said = " ".join(f"{reason}{prepared(move.old)}".split())
    raise MoveError(
        f"Somebody has been writing to {move.app_label} on {move.source!r} in one transaction all the while: "
        f"{said}\nNothing is blocked. Wait until that has ended, then run: {move.command}"
    ) from reason
