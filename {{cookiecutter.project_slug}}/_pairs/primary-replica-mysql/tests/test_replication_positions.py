"""What MariaDB's and MySQL's primary and replicas say of their positions."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connections
from django.db.backends.mysql.base import DatabaseWrapper

from catalogue.models import Product
from conftest import wait_until_replayed
from dbrouting import replication
from dbrouting.consistency import Position
from dbrouting.overrides import in_database
from dbrouting.replication import is_failure, lacks_a_name

DRIVER = DatabaseWrapper.Database
A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4a22fa47-71ca-11e1-9e33-c80aa9429562"


class Answering:
    """A cursor on a server of this version, which gives one answer."""

    def __init__(self, version: str, answer: str | None) -> None:
        self.connection = SimpleNamespace(get_server_info=lambda: version)
        self.answer = answer

    def execute(self, query: str) -> None:
        self.query = query

    def fetchone(self) -> tuple[Any]:
        return (self.answer,)


def written() -> Position:
    with connections["default"].cursor() as cursor:
        position = replication.written(cursor)
    assert position is not None
    return position


def replayed(alias: str) -> Position:
    with in_database(alias), connections[alias].cursor() as cursor:
        return replication.replayed(cursor)


def test_a_replica_that_has_replayed_a_commit_covers_its_position(replica_server: str) -> None:
    Product.objects.update(stock=3)
    position = written()

    wait_until_replayed(replica_server)

    assert replayed(replica_server).covers(position)


def test_one_that_has_not_does_not(replica_server: str) -> None:
    before = replayed(replica_server)
    Product.objects.update(stock=3)

    assert not before.covers(written())


def test_mariadb_counts_in_each_domain() -> None:
    cursor = Answering("5.5.5-10.11.6-MariaDB", "0-1-52,1-3-8")

    assert replication.written(cursor) == replication.replayed(cursor) == Position("", (("0", 52), ("1", 8)))


def test_mysql_counts_what_each_server_has_written() -> None:
    cursor = Answering("8.4.0", f"{A}:1-5,\n{B}:1-9:tag:1-3:7")

    assert replication.written(cursor) == Position("", ((A, 5), (B, 9), (f"{B}:tag", 7)))
    assert replication.replayed(cursor) == Position("", ((A, 5), (B, 9), (f"{B}:tag", 3)))


def test_what_mysql_applied_behind_a_gap_does_not_count() -> None:
    """Its replicas may apply out of order."""
    position = replication.written(Answering("8.4.0", f"{A}:1-7"))
    assert position is not None

    assert not replication.replayed(Answering("8.4.0", f"{A}:1-4:6-7")).covers(position)
    assert not replication.replayed(Answering("8.4.0", f"{A}:7")).covers(position)


@pytest.mark.parametrize("version", ["10.11.6-MariaDB", "8.4.0"])
@pytest.mark.parametrize("answer", ["", None])
def test_without_a_binary_log_there_is_no_position(version: str, answer: str | None) -> None:
    cursor = Answering(version, answer)

    assert replication.written(cursor) is None
    assert not replication.replayed(cursor).covers(Position("", (("0", 1),)))


@pytest.mark.parametrize(
    ("code", "is_one"),
    [(0, True), (1040, True), (1927, True), (2006, True), (2013, True), (1146, False), (1969, False)],
)
def test_a_failure_is_what_another_server_would_not_have(code: int, is_one: bool) -> None:
    error = OperationalError("…")
    error.__cause__ = DRIVER.OperationalError(code, "…")

    assert is_failure(error) == is_one


@pytest.mark.parametrize(("code", "it_does"), [(1146, True), (1054, True), (1064, False)])
def test_a_table_or_column_may_be_yet_to_come(code: int, it_does: bool) -> None:
    error = ProgrammingError("…")
    error.__cause__ = DRIVER.ProgrammingError(code, "…")

    assert lacks_a_name(error) == it_does
