"""Several things at once, each in a thread with sessions of its own."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from threading import Event, Lock
from typing import TypeVar

from dbrouting.moving.move import Move

ItemT = TypeVar("ItemT")


def write_side_by_side(move: Move, work: Callable[[ItemT], object], items: Iterable[ItemT]) -> None:
    side_by_side(move, move.jobs if move.engine.writes_side_by_side else 1, work, items)


def read_side_by_side(move: Move, work: Callable[[ItemT], object], items: Iterable[ItemT]) -> None:
    side_by_side(move, move.jobs if move.engine.reads_side_by_side else 1, work, items)


def side_by_side(move: Move, jobs: int, work: Callable[[ItemT], object], items: Iterable[ItemT]) -> None:
    """Work on each item, in this thread and in others if there are several items.

    Whoever is free takes the next: a generator runs in any of the threads, in one at a time. After an error, or Ctrl-C,
    each ends what it is at, and the error is raised here.
    """
    rest = iter(items)
    first = list(islice(rest, 2))
    todo = chain(first, rest)
    others = jobs - 1 if len(first) > 1 else 0
    taking, is_over = Lock(), Event()

    def take() -> list[ItemT]:
        with taking:
            return list(islice(todo, 1))

    def job(sessions: AbstractContextManager[None]) -> None:
        try:
            with sessions:
                while not is_over.is_set() and (taken := take()):
                    work(taken[0])
        finally:
            is_over.set()

    with ThreadPoolExecutor(max_workers=max(others, 1)) as pool:
        beside = [pool.submit(job, move.sessions()) for _ in range(others)]
        job(nullcontext())
    for other in beside:
        other.result()
