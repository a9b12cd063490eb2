"""Read your own writes: whoever has written reads the primary, because the replicas may not have it yet.

What a request did is kept in one object that all its threads and tasks share, so that a write in any of them pins
the whole request. Writes are noticed where they happen, at the connection: ORM, raw SQL, bulk and cascades alike.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar, overload

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from dbrouting.replicas import choose_replica, is_replica, primary_alias
from dbrouting.writes import is_call, writes

P = ParamSpec("P")
R = TypeVar("R")


class ReplicaWriteError(RuntimeError):
    """A write to a replica, by ``.using()`` or a raw cursor: it would be refused by the server, or lost."""


class UnitOfWork:
    """What must see its own writes: a request, a task, a command.

    ``pinned`` says that it reads the primary; ``wrote`` that others must hear of it, such as the client's next
    request.
    """

    def __init__(self, pinned: bool = False) -> None:
        self.pinned = pinned
        self.wrote = False
        self._chosen: dict[str, str] = {}

    def note_write(self) -> None:
        self.pinned = self.wrote = True

    @property
    def replica(self) -> str:
        """Chosen at the first read and kept: two queries of one page, or two threads, must not disagree."""
        return self._chosen.get("replica") or self._chosen.setdefault("replica", choose_replica())

    @contextmanager
    def active(self) -> Iterator["UnitOfWork"]:
        """Let the block work for this unit, in this thread or task and in those that it starts."""
        token = _unit.set(self)
        try:
            yield self
        finally:
            _unit.reset(token)


_unit: ContextVar[UnitOfWork | None] = ContextVar("unit_of_work", default=None)
_blocks: ContextVar[tuple["PrimaryBlock", ...]] = ContextVar("use_primary", default=())


def current_unit() -> UnitOfWork:
    """The unit this line works for. Outside of any, a command for instance, it is all that runs in this context."""
    unit = _unit.get()
    if unit is None:
        unit = UnitOfWork()
        _unit.set(unit)
    return unit


@contextmanager
def unit_of_work(pinned: bool = False) -> Iterator[UnitOfWork]:
    """A new unit for the block: put one around each job of a process that works through many."""
    with UnitOfWork(pinned).active() as unit:
        yield unit


def pin_to_primary() -> None:
    """Treat the unit as if it had written just now, for a write that can't be noticed here."""
    current_unit().note_write()


def is_pinned_to_primary() -> bool:
    return bool(_blocks.get()) or current_unit().pinned


class PrimaryBlock:
    """Reads in the block go to the primary. Afterwards they go where they went before, unless the block wrote."""

    def __enter__(self) -> None:
        _blocks.set((*_blocks.get(), self))

    def __exit__(self, *error: object) -> None:
        *outer, innermost = _blocks.get() or (None,)
        if innermost is not self:
            raise RuntimeError(
                "use_primary() ends where it did not begin: a generator that yields inside the block ran in someone "
                "else's context. Evaluate the queries inside the block and yield outside."
            )
        _blocks.set(tuple(block for block in outer if block is not None))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"@use_primary can't decorate the generator {function.__qualname__}(): its body runs between other "
                "people's queries. Return a list, or put `with use_primary():` around the queries inside it."
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def inner_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return inner_async  # type: ignore[return-value]  # R is a coroutine, which no type can say here

        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return inner


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
    if not unit.wrote and writes(sql):
        unit.note_write()
    return execute(sql, params, many, context)


def refuse_write(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """What only the server can judge is left to it: its sessions are read-only."""
    if writes(sql) and not is_call(sql):
        alias = context["connection"].alias
        raise ReplicaWriteError(
            f"{alias!r} is a replica and takes no writes: {str(sql)[:200]}\n"
            f"Leave out .using({alias!r}), or write to the primary: .using({primary_alias()!r})."
        )
    return execute(sql, params, many, context)


connection_created.connect(watch_writes)
