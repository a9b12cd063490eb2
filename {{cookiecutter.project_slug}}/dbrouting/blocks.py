"""Blocks of code that route differently, as ``with`` statements and as decorators.

What the blocks around a line decided is a chain of immutable frames in a ``ContextVar``: every thread and task has
its own, and nothing that one of them enters or leaves can change another's. A mutable list there would be shared by
all the tasks that started after it was made.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, Generic, NamedTuple, Optional, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


class Frame(NamedTuple, Generic[V]):
    """What one block decided, and the frame of the block around it."""

    value: V
    owner: "Block[V]"
    outer: Optional["Frame[V]"]


class Frames(Generic[V]):
    """The blocks around the line that asks, of one kind: the innermost frame and, through it, the others."""

    def __init__(self, name: str) -> None:
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


class Block(ABC, Generic[V]):
    """A context manager, and a decorator for functions and coroutine functions.

    It keeps nothing of a run in itself, so many threads and tasks may enter one instance at once.
    """

    frames: Frames[V]

    @abstractmethod
    def decide(self) -> V:
        """What this block decides; called when it is entered."""

    def undo(self, value: V) -> None:
        """Give back what ``decide`` took; called when the block is left, also by an exception."""

    def result(self, result: Any) -> Any:
        """What a decorated function gives to its caller."""
        return result

    def __enter__(self) -> Self:
        self.frames.push(self.decide(), self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo(self.frames.pop(self))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{self} can't decorate the generator {function.__qualname__}(): its body runs between other people's "
                "queries. Return a list, or put a `with` block around the queries inside it."
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def inner_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return self.result(await function(*args, **kwargs))

            return cast(Callable[P, R], inner_async)

        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return cast(R, self.result(function(*args, **kwargs)))

        return inner
