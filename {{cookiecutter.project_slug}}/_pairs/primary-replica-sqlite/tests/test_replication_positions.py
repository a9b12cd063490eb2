"""SQLite tells no positions; its files may fail all the same."""

from pathlib import Path

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting import replication
from dbrouting.aliases import lent
from dbrouting.consistency import UNKNOWN
from dbrouting.replication import is_failure


def error_of(connection: BaseDatabaseWrapper, statement: str) -> OperationalError:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except OperationalError as error:
        return error
    raise AssertionError(statement)


def test_there_are_none(db: None) -> None:
    with connections["default"].cursor() as cursor:
        assert replication.written(cursor) is None
        assert replication.replayed(cursor) == UNKNOWN


def test_a_file_that_is_not_there_is_a_failure_and_a_table_that_is_not_there_is_none(db: None, tmp_path: Path) -> None:
    url = f"{(tmp_path / 'gone.sqlite3').as_uri()}?mode=ro"
    with lent({"ENGINE": "django.db.backends.sqlite3", "NAME": url, "OPTIONS": {"uri": True}}) as alias:
        assert is_failure(error_of(connections[alias], "SELECT 1"))
    assert not is_failure(error_of(connections["default"], "SELECT * FROM no_such_table"))
