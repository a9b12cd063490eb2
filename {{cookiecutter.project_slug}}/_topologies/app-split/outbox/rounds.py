"""All outboxes, once or again and again. A database that is down holds up nobody but those who need it."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypeVar

from django.core.management.base import CommandError
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import is_missing_file
from dbrouting.reachability import describe, missing_tables_explained, require_reachable
from outbox.aliases import has_outbox
from outbox.draining import Backlog, backlog, drain, make_due
from outbox.receipts import prune

AGAIN = "python manage.py drain_outbox"
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Rounds that a database which didn't answer may be left out for.
MOST_LEFT_OUT = 8

Result = TypeVar("Result")


class StoppedError(Exception):
    """The process is asked to end, and has a message behind it."""


@dataclass
class Round:
    """What is still there, and by alias why a database could not be looked at, or no further."""

    handled: int = 0
    left: list[Backlog] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def failing(self) -> int:
        return sum(one.failing for one in self.left)


def drain_all(
    aliases: Iterable[str],
    expect: Callable[[int], object] = lambda count: None,
    progress: Callable[[int], object] = lambda count: None,
    retry: bool = False,
    prunes: bool = True,
) -> Round:
    """Until no message is due. Handling one may write others, in any of the databases.

    Receipts are only pruned while no database is known to be down, as it may have their messages.
    """
    this = Round()
    found = visited(aliases, lambda alias: alias if has_outbox(alias) else None, this.problems)
    outboxes = [alias for alias in found if alias]
    if retry:
        list(visited(outboxes, make_due, this.problems))
    expect(sum(one.waiting for one in visited(outboxes, backlog, this.problems)))
    while handled := sum(one.handled for one in visited(outboxes, lambda on: drain(on, progress), this.problems)):
        this.handled += handled
    if prunes and not this.problems:
        for alias in outboxes:
            with suppress(Error):  # of another database than this; that one's turn will come
                prune(alias)
    this.left += visited(outboxes, backlog, this.problems)
    return this


def visited(aliases: Iterable[str], act: Callable[[str], Result], problems: dict[str, str]) -> Iterator[Result]:
    for alias in aliases:
        if alias in problems:
            continue
        try:
            require_database(alias)
            result = act(alias)
        except (CommandError, Error) as error:
            problems[alias] = explained(alias, error)
        else:
            yield result


def explained(alias: str, error: Exception) -> str:
    """If the connection was lost, why there is no other; ``error`` itself may not say."""
    close_if_dead(connections[alias])
    try:
        require_database(alias)
        with missing_tables_explained(alias, AGAIN):
            raise error
    except (CommandError, Error) as explanation:
        return str(explanation)


def close_if_dead(connection: BaseDatabaseWrapper) -> None:
    """Or if it is too old; not one with a transaction, which a test has open."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def require_database(alias: str) -> None:
    if is_missing_file(connections[alias]):
        raise CommandError(describe(alias, FileNotFoundError("there is no such file"), AGAIN))
    require_reachable(alias, then=AGAIN)


class Outages:
    """Databases that didn't answer: it is said once, and they are asked less and less often."""

    def __init__(self) -> None:
        self._left_out: dict[str, int] = {}
        self._rounds: dict[str, int] = {}

    def due(self, aliases: Iterable[str]) -> list[str]:
        """Those to be asked in this round."""
        for alias in self._rounds:
            self._rounds[alias] -= 1
        return [alias for alias in aliases if self._rounds.get(alias, 0) <= 0]

    def news(self, asked: Iterable[str], problems: dict[str, str]) -> Iterator[str]:
        for alias in asked:
            if alias in problems:
                if alias not in self._left_out:
                    yield problems[alias]
                self._left_out[alias] = min(2 * self._left_out.get(alias, 1), MOST_LEFT_OUT)
                self._rounds[alias] = self._left_out[alias]
            elif self._left_out.pop(alias, None):
                del self._rounds[alias]
                yield f"The database {alias!r} answers again."


class Stop:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self._signals: SimpleQueue[int] = SimpleQueue()  # which a signal's handler may put something into at any time

    def ask(self, number: int) -> None:
        self._signals.put(number)

    @property
    def is_asked(self) -> bool:
        return not self._signals.empty()

    def wait(self, seconds: float) -> None:
        """Until then, or until it is asked."""
        with suppress(Empty):
            self._signals.put(self._signals.get(timeout=seconds))

    def check(self, *args: object) -> None:
        if self.is_asked:
            raise StoppedError


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """SIGTERM and Ctrl-C let the message under way finish; a second one doesn't."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: object) -> None:
        stop.ask(number)
        restore()

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
