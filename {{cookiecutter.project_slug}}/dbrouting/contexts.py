"""Carry routing into threads that Python starts with an empty context.

``asgiref.sync_to_async`` and ``asyncio.to_thread`` take the context variables along; ``threading.Thread``,
``ThreadPoolExecutor`` and ``loop.run_in_executor`` don't, so what they run would forget every override.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.core.signals import request_finished

P = ParamSpec("P")
R = TypeVar("R")


def carry_context(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` bound to the context of this moment: ``executor.submit(carry_context(report), month)``.

    Each call runs in a copy of its own, so many threads may run the same one at once.
    """
    context = copy_context()

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return inner


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` whose work runs in the context it was submitted in: each piece in a copy of its own.

    For ``loop.run_in_executor`` and ``loop.set_default_executor`` too. Each piece ends as a request does: what it
    opened is closed, or kept if it may persist. Otherwise the threads would keep their connections until they end.
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return super().submit(_as_a_request(carry_context(fn)), *args, **kwargs)

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,
    ) -> Iterator[R]:
        """With ``buffersize`` (Python 3.14) later pieces are submitted where the earlier results are taken."""
        return super().map(carry_context(fn), *iterables, timeout=timeout, chunksize=chunksize, **options)


def _as_a_request(function: Callable[P, R]) -> Callable[P, R]:
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            request_finished.send(sender=ContextThreadPoolExecutor)

    return inner
