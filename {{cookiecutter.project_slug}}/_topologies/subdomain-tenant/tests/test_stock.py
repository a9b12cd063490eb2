"""A budget for all of a process's connections to tenants, and those that nobody uses just now."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError

from dbrouting.tenant_backend import stock as stock_module
from dbrouting.tenant_backend.stock import Loan, Stock, stock


class Connection:
    """One end of a socket pair, as a driver has it; the test holds the server's."""

    def __init__(self) -> None:
        self.wire, self.server = socket.socketpair()
        self.server.settimeout(5)

    def close(self) -> None:
        """As drivers do: say goodbye and don't wait. This server hangs up when it hears that."""
        self.wire.sendall(b"goodbye")
        self.wire.close()
        self.server.recv(100)
        self.server.close()

    @property
    def is_open(self) -> bool:
        return self.wire.fileno() != -1


def fileno(connection: Connection) -> int:
    return connection.wire.fileno()


class Borrower:
    """Whoever takes connections from a stock of at most three."""

    def __init__(self) -> None:
        self.stock = Stock(3, patience=0.05)
        self.opened: list[Connection] = []
        self.most_at_once = 0

    def open(self) -> Connection:
        self.opened.append(Connection())
        self.most_at_once = max(self.most_at_once, sum(one.is_open for one in self.opened))
        return self.opened[-1]

    def take(self, place: str) -> Any:
        connection, _ = self.stock.take(self, place, self.open, fileno)
        return connection

    def visit(self, place: str) -> Any:
        connection = self.take(place)
        self.stock.give_back(connection)
        return connection


@pytest.fixture
def borrower() -> Iterator[Borrower]:
    borrower = Borrower()
    yield borrower
    for connection in borrower.opened:
        connection.wire.close()
        connection.server.close()


def test_what_was_given_back_serves_the_next_one_at_the_same_place(borrower: Borrower) -> None:
    assert borrower.visit("acme") is borrower.visit("acme")
    assert borrower.visit("globex") is not borrower.visit("acme")


def test_two_at_once_have_one_each(borrower: Borrower) -> None:
    assert borrower.take("acme") is not borrower.take("acme")


def test_the_one_used_last_is_taken_first_so_that_the_others_can_be_closed(borrower: Borrower) -> None:
    first, second = borrower.take("acme"), borrower.take("acme")
    borrower.stock.give_back(first)
    borrower.stock.give_back(second)

    assert borrower.take("acme") is second


def test_who_needs_a_new_one_closes_that_of_the_place_not_visited_for_the_longest_time(borrower: Borrower) -> None:
    acme, globex, initech = (borrower.visit(place) for place in ("acme", "globex", "initech"))
    borrower.visit("acme")

    borrower.visit("hooli")

    assert [one.is_open for one in (acme, globex, initech)] == [True, False, True]


def test_the_budget_holds_whatever_is_visited(borrower: Borrower) -> None:
    for turn in range(20):
        borrower.visit(f"tenant {turn % 7}")

    assert borrower.most_at_once == 3


def test_a_session_is_over_on_the_server_before_another_begins(borrower: Borrower) -> None:
    """The server counts until it has ended it: a role with a limit would be refused."""
    acme, *_ = (borrower.visit(place) for place in ("acme", "globex", "initech"))
    acme.close = acme.wire.close
    is_next_open = threading.Event()

    def end_late() -> bool:
        came_too_early = is_next_open.wait(0.1)
        acme.server.close()
        return came_too_early

    def open_next() -> Connection:
        is_next_open.set()
        return borrower.open()

    with ThreadPoolExecutor(1) as pool:
        server = pool.submit(end_late)
        borrower.stock.take(borrower, "hooli", open_next, fileno)
        assert not server.result()


def test_who_finds_the_budget_used_up_is_told_which_setting_it_is(borrower: Borrower) -> None:
    for place in ("acme", "globex", "initech"):
        borrower.take(place)

    with pytest.raises(OperationalError, match=r"All 3 connections .* TENANT_MAX_CONNECTIONS"):
        borrower.take("hooli")


@pytest.mark.parametrize("end", [Stock.give_back, Stock.discard])
def test_who_waits_is_served_as_soon_as_another_is_done(
    borrower: Borrower, end: Callable[[Stock, Connection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_room, is_about_to_wait = borrower.stock._has_room, threading.Event()

    def look() -> bool:
        if found := has_room():
            return found
        is_about_to_wait.set()  # and holds the lock until it does
        return False

    borrower.stock.patience = 20
    first, *_ = (borrower.take(place) for place in ("acme", "globex", "initech"))
    monkeypatch.setattr(borrower.stock, "_has_room", look)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(borrower.take, "hooli")
        assert is_about_to_wait.wait(5)
        end(borrower.stock, first)
        assert waiting.result(timeout=10) is borrower.opened[-1]
    assert borrower.most_at_once == 3


def test_one_that_cannot_be_opened_takes_nothing_from_the_budget(borrower: Borrower) -> None:
    def fail() -> None:
        raise ConnectionError("refused")

    for _ in range(4):
        with pytest.raises(ConnectionError):
            borrower.stock.take(borrower, "acme", fail, fileno)

    assert [borrower.take("acme").is_open for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("death", [lambda server: server.close(), lambda server: server.sendall(b"a notice")])
def test_one_that_the_server_has_said_something_to_is_not_used_again(
    borrower: Borrower, death: Callable[[socket.socket], None]
) -> None:
    dead = borrower.visit("acme")
    dead.close = dead.wire.close
    death(dead.server)
    dead.server.close()

    assert borrower.take("acme") is not dead
    assert not dead.is_open


def test_one_that_was_closed_meanwhile_is_not_used_again(borrower: Borrower) -> None:
    closed = borrower.visit("acme")
    closed.close()

    assert borrower.take("acme") is not closed


def test_one_that_nobody_needed_for_long_is_closed(borrower: Borrower, monkeypatch: pytest.MonkeyPatch) -> None:
    old = borrower.visit("acme")
    monkeypatch.setattr(stock_module, "IDLE_SECONDS", -1)

    borrower.visit("globex")

    assert not old.is_open


def test_what_a_thread_leaves_behind_is_closed_for_the_next_one(borrower: Borrower) -> None:
    with ThreadPoolExecutor(1) as pool:
        left = [pool.submit(borrower.take, place).result() for place in ("acme", "globex", "initech")]

    assert borrower.take("acme") not in left
    assert not left[0].is_open


def test_what_a_borrower_leaves_behind_is_closed_for_the_next_one(borrower: Borrower) -> None:
    class Forgetful: ...

    left, _ = borrower.stock.take(Forgetful(), "acme", borrower.open, fileno)
    for place in ("globex", "initech"):
        borrower.take(place)

    assert borrower.take("acme") is not left
    assert not left.is_open


def test_what_was_left_behind_is_looked_for_while_others_are_opening_theirs(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open, is_opening, is_lent = (threading.Event() for _ in range(3))

    def open_slowly() -> Connection:
        is_opening.set()
        may_open.wait(5)
        return borrower.open()

    def take_slowly() -> None:
        borrower.stock.take(borrower, "initech", open_slowly, fileno)
        is_lent.set()

    def look_slowly(loan: Loan) -> bool:
        may_open.set()
        is_lent.wait(0.05)
        return False

    borrower.take("acme")
    borrower.take("globex")
    monkeypatch.setattr(Loan, "is_forgotten", look_slowly)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(take_slowly)
        is_opening.wait(5)
        with pytest.raises(OperationalError, match="All 3 connections"):
            borrower.take("hooli")
        other.result()


def test_a_place_is_left_by_all_that_nobody_uses(borrower: Borrower) -> None:
    used, idle = borrower.take("acme"), borrower.take("acme")
    borrower.stock.give_back(idle)

    borrower.stock.close("acme")

    assert (used.is_open, idle.is_open) == (True, False)


def test_a_forked_process_has_a_stock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its parent's connections too: whoever used them would read the answers to the parent's queries."""
    parents = stock()
    assert stock() is parents
    monkeypatch.setattr(stock_module, "_stocks", dict(stock_module._stocks))
    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert stock() is not parents
