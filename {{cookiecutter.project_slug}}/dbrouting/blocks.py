"""Blocks of code that route differently, as ``with`` statements and as decorators.

What the blocks around a line decided is a chain of immutable frames in a ``ContextVar``: every thread and task has
its own, and nothing that one of them enters or leaves can change another's. A mutable list there would be shared by
all the tasks that started after it was made.
"""

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, Generic, Optional, ParamSpec, Self, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Frame(Generic[V]):
    """What one block decided, and the frame of the block around it."""

    value: V
    owner: "Block[V]"
    outer: Optional["Frame[V]"]


class Frames(Generic[V]):
    """The blocks around the line that asks, of one kind: the innermost frame and, through it, the others."""

    kinds: ClassVar[list["Frames[Any]"]] = []

    def __init__(self, name: str) -> None:
        self.kinds.append(self)
        self._innermost: ContextVar[Frame[V] | None] = ContextVar(name, default=None)
        self.innermost: Callable[[], Frame[V] | None] = self._innermost.get

    def push(self, value: V, owner: "Block[V]") -> None:
        self._innermost.set(Frame(value, owner, self.innermost()))

    def pop(self, owner: "Block[V]") -> V:
        frame = self.innermost()
        if frame is None or frame.owner is not owner:
            raise RuntimeError(
                f"{owner} ends where it did not begin: a generator that yields inside the block ran in someone else's "
                "context. Evaluate the queries inside the block and yield outside."
            )
        self._innermost.set(frame.outer)
        return frame.value

    def forget(self) -> None:
        self._innermost.set(None)


class Block(ABC, Generic[V]):
    """A context manager, and a decorator for functions, coroutine functions and views.

    What a decorated function leaves to be done after it has returned is done inside the block too: a query set keeps
    its database, a template response is rendered and a streamed body made there.

    It keeps nothing of a run in itself, so many threads and tasks may enter one instance at once.
    """

    frames: Frames[V]
    # What finishes a result: functions of a block and a result. dbrouting.streaming has those for Django's.
    finishers: ClassVar[list[Callable[["Block[Any]", Any], Any]]] = []

    @abstractmethod
    def decide(self) -> V:
        """What this block decides; called when it is entered."""

    def undo(self, value: V) -> None:
        """Give back what ``decide`` took; called when the block is left, also by an exception."""

    def hold(self) -> None:
        """Take what must outlast single entries, until ``release``: a streamed body enters once for each chunk."""

    def release(self) -> None:
        """Give back what ``hold`` took."""

    def __enter__(self) -> Self:
        self.frames.push(self.decide(), self)
        return self

    def __exit__(self, *error: object) -> None:
        self.undo(self.frames.pop(self))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(_generator_fault(self, function.__qualname__))

        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> Any:
            with self:
                return self.finished(function(*args, **kwargs))

        return markcoroutinefunction(inner) if iscoroutinefunction(function) else inner

    def finished(self, result: Any) -> Any:
        """``result``, whose unfinished part, if it has one, is done inside the block as well."""
        if inspect.isawaitable(result):  # also a class-based view's ``dispatch``, which is no coroutine function
            return self._awaited(result)
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise TypeError(_generator_fault(self, result.__qualname__))
        for finish in self.finishers:
            result = finish(self, result)
        return result

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        with self:
            return self.finished(await result)


@contextmanager
def everything_ended() -> Iterator[None]:
    """End what the code inside leaves open, as a generator does that nobody finishes: the thread serves others next.

    A copy of the context would do that too, but take away what else the code sets: a streamed body's language, the
    caches that Django closes after the request. Asynchronous requests have a task, and so a context, of their own.
    """
    before = [(frames, frames.innermost()) for frames in Frames.kinds]
    try:
        yield
    finally:
        for frames, outer in before:
            while (frame := frames.innermost()) and frame is not outer:
                frame.owner.__exit__()


def forget_everything() -> None:
    """Begin a forked process as a new thread begins: in no block.

    It would be whoever's block was forked in: a process pool's workers, all that they are ever given.
    """
    for frames in Frames.kinds:
        frames.forget()


if hasattr(os, "register_at_fork"):  # there is no fork() on Windows
    os.register_at_fork(after_in_child=forget_everything)


def _generator_fault(block: Block[Any], name: str) -> str:
    return (
        f"{block} can't decorate the generator {name}(): its body runs between other people's queries. "
        "Return a list, or put a `with` block around the queries inside it."
    )
