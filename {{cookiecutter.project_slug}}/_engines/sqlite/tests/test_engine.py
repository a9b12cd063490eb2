"""What config/engine.py promises is true of the connections."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from config import engine
from config.env import from_url

pytestmark = pytest.mark.django_db


def connection_to(path: Path, query: str = "", *, read_only: bool = False) -> DatabaseWrapper:
    config = from_url("some", "SOME_DATABASE_URL", f"sqlite:///{path}{query}")
    complete = connections.configure_settings({"default": engine.read_only(config) if read_only else config})
    return DatabaseWrapper(complete["default"], alias="some")


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite3"
    with closing(connection_to(path)) as writer, closing(connection_to(path, "?timeout=0")) as reader:
        writer.cursor().execute("CREATE TABLE note (id integer)")
        writer.cursor().execute("BEGIN IMMEDIATE")
        writer.cursor().execute("INSERT INTO note VALUES (1)")

        assert reader.cursor().execute("SELECT count(*) FROM note").fetchone() == (0,)


def test_a_transaction_takes_the_lock_when_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite3"
    with closing(connection_to(path)) as first, closing(connection_to(path, "?timeout=0")) as second:
        first.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)

        with pytest.raises(OperationalError, match="locked"):
            second.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    with closing(connection_to(tmp_path / "some.sqlite3")) as connection:
        milliseconds = connection.cursor().execute("PRAGMA busy_timeout").fetchone()[0]

    assert milliseconds == 20_000


def test_the_journal_and_its_durability(tmp_path: Path) -> None:
    with closing(connection_to(tmp_path / "some.sqlite3")) as connection:
        assert connection.cursor().execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.cursor().execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL


def test_a_read_only_connection_refuses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite3"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE note (id integer)")

    with closing(connection_to(path, read_only=True)) as connection, pytest.raises(OperationalError, match="readonly"):
        connection.cursor().execute("INSERT INTO note VALUES (1)")


def test_an_administrator_of_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgres://postgres:hidden@localhost/postgres")

    with pytest.raises(CommandError, match="DATABASE_ADMIN_URL is set, but SQLite's databases are files") as caught:
        call_command("bootstrap")

    assert "hidden" not in str(caught.value)
