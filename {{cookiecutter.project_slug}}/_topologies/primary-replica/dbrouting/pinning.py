"""Read your own writes: whoever has written reads the primary, because the replicas may not have it yet.

What a request did is kept in one object that all its threads and tasks share, so that a write in any of them pins
the whole request. Writes are noticed where they happen, at the connection: ORM, raw SQL, bulk and cascades alike.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from typing import Any, ParamSpec, TypeVar, overload

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from dbrouting.blocks import Block, Frames
from dbrouting.consistency import Position
from dbrouting.replicas import choose_replica, is_replica, primary_alias
from dbrouting.writes import is_write, may_write

P = ParamSpec("P")
R = TypeVar("R")


class ReplicaWriteError(RuntimeError):
    """A write to a replica, by ``.using()`` or a raw cursor: it would be refused by the server, or lost."""


class UnitOfWork:
    """What must see its own writes: a request, a task, a command.

    ``pinned`` says that it reads the primary; ``wrote`` that others must hear of it, such as the client's next
    request. ``required`` is what the same client wrote before: a replica that hasn't replayed it yet won't do; and
    ``replayed`` what replicas have, where that can't be remembered any longer.
    """

    def __init__(self, pinned: bool = False, required: Position | None = None) -> None:
        self.pinned = pinned
        self.required = required
        self.replayed: dict[str, Position] = {}
        self.wrote = False

    def note_write(self) -> None:
        self.pinned = self.wrote = True

    @cached_property
    def replica(self) -> str:
        """Chosen at the first read and kept: two queries of one page, or two threads, must not disagree."""
        alias: str = self.__dict__.setdefault("replica", choose_replica())
        return alias


class unit_of_work(Block[UnitOfWork]):  # noqa: N801  a function to those who use it
    """A new unit for each run of the block: put one around each job of a process that works through many.

    It shares nothing with a unit around it: a write inside doesn't pin a request that the block is part of.
    """

    frames: Frames[UnitOfWork] = Frames("unit_of_work")

    def __str__(self) -> str:
        return "unit_of_work()"

    def decide(self) -> UnitOfWork:
        return UnitOfWork()


class working_for(unit_of_work):  # noqa: N801  likewise
    """Go on with a unit that was begun before, such as the request whose body is streamed."""

    def __init__(self, unit: UnitOfWork) -> None:
        self.unit = unit

    def __str__(self) -> str:
        return "working_for()"

    def decide(self) -> UnitOfWork:
        return self.unit


innermost_unit = unit_of_work.frames.innermost
_context_unit: ContextVar[UnitOfWork | None] = ContextVar("context_unit", default=None)
# The main thread's, made before any task or carried thread could take a copy of the context without one.
_context_unit.set(UnitOfWork())


def current_unit() -> UnitOfWork:
    """The unit this line works for. Outside of any, a command for instance, it is all that runs in this context."""
    if frame := innermost_unit():
        return frame.value
    unit = _context_unit.get()
    if unit is None:
        unit = UnitOfWork()
        _context_unit.set(unit)
    return unit


def pin_to_primary() -> None:
    """Treat the unit as if it had written just now, for a write that can't be noticed here."""
    current_unit().note_write()


def is_pinned_to_primary() -> bool:
    return current_unit().pinned or innermost_primary_block() is not None


class PrimaryBlock(Block[None]):
    """Reads in the block go to the primary. Afterwards they go where they went before, unless the block wrote."""

    frames: Frames[None] = Frames("use_primary")

    def __str__(self) -> str:
        return "use_primary()"

    def decide(self) -> None:
        """The frame itself says it all."""


innermost_primary_block = PrimaryBlock.frames.innermost


@overload
def use_primary() -> PrimaryBlock: ...
@overload
def use_primary(function: Callable[P, R]) -> Callable[P, R]: ...
def use_primary(function: Callable[..., Any] | None = None) -> Any:
    """Read the primary: ``with use_primary():``, or a decorator of functions and coroutine functions.

    A query set is routed when it is *evaluated*, not when it is built.
    """
    return PrimaryBlock() if function is None else PrimaryBlock()(function)


def watch_writes(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Make a connection to the primary pin on writes, and one to a replica refuse them."""
    if connection.alias == primary_alias():
        watch = pin_on_write
    elif is_replica(connection.alias):
        watch = refuse_write
    else:
        return
    if watch not in connection.execute_wrappers:  # which outlive a reconnect
        connection.execute_wrappers.insert(0, watch)  # a wrapper in a ``with`` block takes away the last one


def pin_on_write(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Pins before the write: one that fails on a duplicate has to find the row it collided with."""
    unit = current_unit()
    if not unit.wrote and may_write(sql):
        unit.note_write()
    return execute(sql, params, many, context)


def refuse_write(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """What only the server can judge is left to it: its sessions are read-only."""
    require_read(sql, context["connection"].alias)
    return execute(sql, params, many, context)


def require_read(sql: object, alias: str) -> None:
    if is_write(sql):
        raise ReplicaWriteError(
            f"{alias!r} is a replica and takes no writes: {str(sql)[:200]}\n"
            f"Leave out .using({alias!r}), or write to the primary: .using({primary_alias()!r})."
        )


connection_created.connect(watch_writes)
