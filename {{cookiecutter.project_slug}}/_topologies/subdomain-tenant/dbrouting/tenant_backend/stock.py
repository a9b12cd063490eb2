"""A process's open connections to tenants' databases: a budget for all of them, and those that nobody uses just now.

They belong to the process, not to a thread: under ASGI each request has another one. A place is where a connection
leads; one that nobody uses serves the next who needs its place, and makes room for another place if it must.
"""

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from weakref import ref

from django.conf import settings
from django.db import OperationalError

# Who finds the budget used up waits so long for a connection, then fails.
WAIT_SECONDS = 30
# One that nobody needed for so long is closed, as soon as anybody gives back another.
IDLE_SECONDS = 60
# How long a server may take to end a session.
GOODBYE_SECONDS = 1


def is_readable(number: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()  # which, unlike select(), takes any number
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


@dataclass(frozen=True, slots=True)
class Line:
    """A connection, where it leads, and how to know its socket: -1 if it is lost, ``None`` if there is none."""

    place: Hashable
    connection: Any
    fileno: Callable[[Any], int | None]
    since: float = 0

    def is_alive(self) -> bool:
        """Whether nothing has come from the server since the last answer, without asking: what comes is its end."""
        if (number := self.fileno(self.connection)) is None:
            return True
        if number < 0:
            return False
        return not is_readable(number)

    def hang_up(self) -> None:
        """Return when the server has ended the session too: until then it counts against the limits there."""
        if (number := self.fileno(self.connection)) is None:
            self.connection.close()
        elif number >= 0:
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as wire:
                self.connection.close()
                wire.settimeout(GOODBYE_SECONDS)
                with suppress(OSError):
                    while wire.recv(4096):
                        pass


class Loan(NamedTuple):
    line: Line
    borrower: "ref[Any]"
    thread: threading.Thread

    def is_forgotten(self) -> bool:
        return self.borrower() is None or not self.thread.is_alive()


class Stock:
    def __init__(self, limit: int, patience: float = WAIT_SECONDS) -> None:
        self.limit = limit
        self.patience = patience
        # Of each place the one used last at the end, and first the place that nobody came to for the longest time.
        self._idle: dict[Hashable, deque[Line]] = {}
        self._lent: dict[int, Loan] = {}
        self._changing = 0  # are being opened or closed
        self._changed = threading.Condition()

    def take(
        self, borrower: object, place: Hashable, open_one: Callable[[], Any], fileno: Callable[[Any], int | None]
    ) -> tuple[Any, bool]:
        """A connection to ``place``, and whether it has served before. Whoever takes one gives it back or discards it.

        If ``borrower`` or its thread is gone before that, the connection is closed when it is missed.

        Raises OperationalError if there is none to be had in time.
        """
        with self._changed:
            if not self._changed.wait_for(self._has_room, self.patience):
                raise OperationalError(
                    f"All {self.limit} connections that this process may have to tenants' databases were in use for "
                    f"{self.patience} seconds. Raise TENANT_MAX_CONNECTIONS, if the server can bear it, or let the "
                    "process serve fewer requests at once."
                )
            if line := self._pop_alive(place):
                return self._lend(line, borrower), True
            surplus = self._pop_surplus()
            self._changing += 1
        try:
            for one in surplus:
                one.hang_up()
            line = Line(place, open_one(), fileno)
            with self._changed:
                return self._lend(line, borrower), False
        finally:
            self._changed_by(1)

    def give_back(self, connection: Any) -> None:
        """For the next one who needs the place; what may not be seen there has been removed."""
        with self._changed:
            line = self._lent.pop(id(connection)).line
            lines = self._idle[line.place] = self._idle.pop(line.place, deque())
            lines.append(replace(line, since=time.monotonic()))
            self._changed.notify()
            old = self._pop_old(next(iter(self._idle))) + self._pop_old(line.place)
        self._hang_up(old)

    def discard(self, connection: Any) -> None:
        with self._changed:
            line = self._lent.pop(id(connection)).line
            self._changing += 1
        self._hang_up([line])

    def close(self, place: Hashable) -> None:
        """Close what nobody uses there: no database is dropped before."""
        with self._changed:
            lines = list(self._idle.pop(place, ()))
            self._changing += len(lines)
        self._hang_up(lines)

    def _lend(self, line: Line, borrower: object) -> Any:
        self._lent[id(line.connection)] = Loan(line, ref(borrower), threading.current_thread())
        return line.connection

    def _hang_up(self, lines: list[Line]) -> None:
        try:
            for line in lines:
                line.hang_up()
        finally:
            self._changed_by(len(lines))

    def _changed_by(self, number: int) -> None:
        with self._changed:
            self._changing -= number
            self._changed.notify(number)

    # With the lock held

    def _size(self) -> int:
        return sum(map(len, self._idle.values())) + len(self._lent) + self._changing

    def _has_room(self) -> bool:
        return bool(self._idle) or self._size() < self.limit or self._take_what_was_forgotten()

    def _take_what_was_forgotten(self) -> bool:
        """Whether there was something. In whatever state it is, it leads nowhere and is closed next."""
        forgotten = [loan.line for loan in self._lent.values() if loan.is_forgotten()]
        for line in forgotten:
            del self._lent[id(line.connection)]
        if forgotten:
            self._idle = {object(): deque(forgotten), **self._idle}
        return bool(forgotten)

    def _pop(self, place: Hashable, *, latest: bool = False) -> Line:
        lines = self._idle[place]
        line = lines.pop() if latest else lines.popleft()
        if not lines:
            del self._idle[place]
        return line

    def _pop_alive(self, place: Hashable) -> Line | None:
        while place in self._idle:
            line = self._pop(place, latest=True)
            if line.is_alive():
                return line
            line.hang_up()
        return None

    def _pop_surplus(self) -> list[Line]:
        """What must go before one more is opened."""
        surplus = []
        while self._idle and self._size() >= self.limit:
            surplus.append(self._pop(next(iter(self._idle))))
        return surplus

    def _pop_old(self, place: Hashable) -> list[Line]:
        old = []
        while place in self._idle and self._idle[place][0].since < time.monotonic() - IDLE_SECONDS:
            old.append(self._pop(place))
        self._changing += len(old)
        return old


_stocks: dict[int, Stock] = {}


def stock() -> Stock:
    """This process's. One that was forked leaves its parent's alone: two would talk in one session at once."""
    process = os.getpid()
    return _stocks.get(process) or _stocks.setdefault(process, Stock(settings.TENANT_MAX_CONNECTIONS))
