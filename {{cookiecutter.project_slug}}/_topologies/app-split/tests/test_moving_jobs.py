"""`move_app` does several things at once: each is done once, and an error in one is everybody's."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from unittest.mock import Mock

import pytest
from django.db import OperationalError

from dbrouting.moving.jobs import side_by_side
from dbrouting.moving.move import Move

SECONDS = 10  # until a test fails that waits in vain


def move_of_nothing(sessions: Callable[[], AbstractContextManager[None]] = nullcontext) -> Mock:
    return Mock(spec=Move, sessions=sessions)


def test_each_item_is_worked_on_once_by_several_threads() -> None:
    meeting = threading.Barrier(3, timeout=SECONDS)
    done: Counter[int] = Counter()

    def work(item: int) -> None:
        meeting.wait()
        done[item] += 1

    side_by_side(move_of_nothing(), 3, work, range(9))

    assert done == Counter(range(9))


def test_each_other_thread_has_sessions_of_its_own_which_end_with_it() -> None:
    opened, closed, at_work = set(), set(), set()
    meeting = threading.Barrier(2, timeout=SECONDS)

    @contextmanager
    def sessions() -> Iterator[None]:
        opened.add(threading.get_ident())
        yield
        closed.add(threading.get_ident())

    def work(item: int) -> None:
        meeting.wait()
        at_work.add(threading.get_ident())

    side_by_side(move_of_nothing(sessions), 2, work, range(4))

    assert len(at_work) == 2
    assert opened == closed == at_work - {threading.get_ident()}


@pytest.mark.parametrize("items", [[], [1]])
def test_what_is_one_thing_needs_no_more_sessions(items: list[int]) -> None:
    def refused() -> AbstractContextManager[None]:
        raise OperationalError("too many connections")

    done: list[int] = []
    side_by_side(move_of_nothing(refused), 2, done.append, items)

    assert done == items


def test_an_error_in_another_thread_ends_all_and_is_raised() -> None:
    failed = threading.Event()

    def work(item: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            failed.set()
            raise OperationalError("gone")
        assert failed.wait(SECONDS)

    with pytest.raises(OperationalError, match="gone"):
        side_by_side(move_of_nothing(), 2, work, count())


def test_an_interruption_ends_all_and_is_raised() -> None:
    beside = threading.Event()

    def work(item: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            beside.set()
            return
        assert beside.wait(SECONDS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(move_of_nothing(), 2, work, count())


def test_sessions_that_the_server_refuses_end_all() -> None:
    @contextmanager
    def refused() -> Iterator[None]:
        raise OperationalError("too many connections")
        yield

    with pytest.raises(OperationalError, match="too many connections"):
        side_by_side(move_of_nothing(refused), 2, lambda item: None, count())


def test_what_a_generator_raises_is_raised() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise OperationalError("gone")

    with pytest.raises(OperationalError, match="gone"):
        side_by_side(move_of_nothing(), 2, lambda item: None, items())
