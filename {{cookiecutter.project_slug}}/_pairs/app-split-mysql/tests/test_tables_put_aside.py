"""A table that refuses writes is put aside, and its rows are what a move must not lose, whatever is done by hand."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.moving.errors import MoveError
from dbrouting.moving.on_mysql import MySQL

Run = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def session(db: None) -> Iterator[BaseDatabaseWrapper]:
    """Of its own: what makes tables commits."""
    session = connections["default"].copy()
    yield session
    with session.cursor() as cursor:
        cursor.execute("DROP VIEW IF EXISTS note")
        cursor.execute("DROP TABLE IF EXISTS note, dbrouting_held_note")
    session.close()


@pytest.fixture
def run(session: BaseDatabaseWrapper) -> Run:
    """A table that was put aside, whose view somebody has dropped."""

    def run(statement: str) -> list[tuple[object, ...]]:
        with session.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    run("CREATE TABLE note (id integer)")
    run("INSERT INTO note VALUES (7)")
    MySQL().block(session, ["note"], "notes")
    run("DROP VIEW note")
    return run


def test_it_is_read_although_its_view_is_gone(session: BaseDatabaseWrapper, run: Run) -> None:
    assert list(MySQL().columns(session, "note")) == ["id"]
    assert not MySQL().is_blocked(session, "note", "notes")


@pytest.mark.parametrize("attempts", [1, 2])
def test_it_comes_back_although_its_view_is_gone(session: BaseDatabaseWrapper, run: Run, attempts: int) -> None:
    for _ in range(attempts):
        MySQL().unblock(session, ["note"], "notes")

    assert run("SELECT id FROM note") == [(7,)]


def test_it_is_put_aside_again_although_its_view_is_gone(session: BaseDatabaseWrapper, run: Run) -> None:
    MySQL().block(session, ["note"], "notes")

    assert MySQL().is_blocked(session, "note", "notes")
    assert run("SELECT id FROM note") == [(7,)]


@pytest.mark.parametrize("act", [MySQL.block, MySQL.unblock])
def test_its_rows_are_not_dropped_for_a_table_that_was_made_in_its_place(
    session: BaseDatabaseWrapper, run: Run, act: Callable[..., None]
) -> None:
    run("CREATE TABLE note (id integer)")

    with pytest.raises(MoveError, match="the rows of note are in dbrouting_held_note"):
        act(MySQL(), session, ["note"], "notes")

    assert run("SELECT id FROM dbrouting_held_note") == [(7,)]
