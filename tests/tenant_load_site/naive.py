"""Blocks that keep their frames as one would think of it first. The load test must see them fail."""

from collections.abc import Callable
from typing import Any

from dbrouting.blocks import Block, Frame, Frames


def keep_frames_in(place: Callable[[], Any]) -> None:
    """In a ``place()`` for each kind of block: ``threading.local`` or what the process has once. Before any is used."""

    def begin(frames: Any, name: str) -> None:
        frames.kinds.append(frames)
        frames.here = place()
        frames.innermost = lambda: getattr(frames.here, "frame", None)

    def push(frames: Any, value: Any, owner: Block[Any]) -> None:
        frames.here.frame = Frame(value, owner, frames.innermost())

    def pop(frames: Any, owner: Block[Any]) -> Any:
        frame = frames.innermost()
        frames.here.frame = frame and frame.outer
        return frame and frame.value

    Frames.__init__, Frames.push, Frames.pop = begin, push, pop
