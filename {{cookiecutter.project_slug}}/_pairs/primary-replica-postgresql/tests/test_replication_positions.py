"""What PostgreSQL's primary and standbys say of their positions."""

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connections

from catalogue.models import Product
from conftest import wait_until_replayed
from dbrouting import replication
from dbrouting.consistency import Position
from dbrouting.overrides import in_database
from dbrouting.replication import end_of_record, is_failure, lacks_a_name


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


def test_a_commit_that_is_not_on_disk_yet_is_in_the_position(replica_server: str) -> None:
    before = written()
    with connections["default"].cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("UPDATE catalogue_product SET stock = 4")
        position = replication.written(cursor)
        cursor.execute("RESET synchronous_commit")

    assert position is not None
    assert not before.covers(position)


def test_the_primary_has_replayed_nothing(transactional_db: None) -> None:
    assert not replayed("default").covers(written())


@pytest.mark.parametrize(
    ("number", "end"),
    [(8192, 8192), (8192 + 24, 8192), (8192 + 40, 8192), (8192 + 64, 8192 + 64), (16384 - 8, 16384 - 8)],
)
def test_behind_the_header_of_a_page_no_record_has_ended_yet(number: int, end: int) -> None:
    """An idle primary would be ahead of its standbys for ever."""
    assert end_of_record(number, block=8192) == end


@pytest.mark.parametrize(
    ("sqlstate", "is_one"),
    [
        (None, True),
        ("08006", True),
        ("40001", True),
        ("53300", True),
        ("57P01", True),
        ("57014", False),
        ("55P03", False),
        ("42P01", False),
    ],
)
def test_a_failure_is_what_another_server_would_not_have(sqlstate: str | None, is_one: bool) -> None:
    error = OperationalError("…")
    error.__cause__ = psycopg.errors.lookup(sqlstate)("…") if sqlstate else psycopg.OperationalError("…")

    assert is_failure(error) == is_one


@pytest.mark.parametrize(("sqlstate", "it_does"), [("42P01", True), ("42703", True), ("42601", False)])
def test_a_table_or_column_may_be_yet_to_come(sqlstate: str, it_does: bool) -> None:
    error = ProgrammingError("…")
    error.__cause__ = psycopg.errors.lookup(sqlstate)("…")

    assert lacks_a_name(error) == it_does
