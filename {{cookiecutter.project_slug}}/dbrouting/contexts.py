"""Carry routing into threads that Python starts with an empty context.

``asgiref.sync_to_async`` and ``asyncio.to_thread`` take the context variables along; ``threading.Thread``,
``ThreadPoolExecutor`` and ``loop.run_in_executor`` don't, so what they run would forget every override.
"""

from collections.abc import Callable
from contextvars import copy_context
from functools import wraps
from typing import ParamSpec, TypeVar

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
