"""Output of commands that run at once: each one's is held back until it ends, and comes in one piece.

Held back is what is written in a context that holds it; another's goes out at once, and so does that of a thread which
was started without the context.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from functools import partial
from io import StringIO
from typing import Any, TextIO, cast

# What to call to let it out; None where nothing is held back.
_held: ContextVar[list[Callable[[], object]] | None] = ContextVar("held_output", default=None)
_one_at_a_time = threading.Lock()


class HeldStream:
    """``stream``, which gets the text later where output is held back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        in_turn(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        in_turn(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def holding(stream: TextIO) -> TextIO:
    return cast(TextIO, HeldStream(stream))


def in_turn(write: Callable[..., object], *args: str) -> None:
    """Call ``write`` now, or where output is held back when that is let out."""
    held = _held.get()
    if held is None:
        write(*args)
    else:
        held.append(partial(write, *args))


@contextmanager
def held_output() -> Iterator[None]:
    """Hold back what is written in the block, and let it out at the end, also if that is an exception."""
    held: list[Callable[[], object]] = []
    token = _held.set(held)
    try:
        yield
    finally:
        _held.reset(token)
        with _one_at_a_time:
            for let_out in held:
                let_out()


@contextmanager
def shared_streams() -> Iterator[None]:
    """Make the process's streams fit for ``held_output``. There is nothing to be read: nobody would see who asks."""
    stdin = sys.stdin
    with redirect_stdout(holding(sys.stdout)), redirect_stderr(holding(sys.stderr)):
        sys.stdin = StringIO()
        try:
            yield
        finally:
            sys.stdin = stdin
