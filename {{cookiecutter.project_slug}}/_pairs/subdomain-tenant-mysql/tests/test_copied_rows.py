"""A live tenant's rows are copied as they are at one moment, whatever its tables ask of them."""

from typing import Any

import pytest
from django.db import IntegrityError, connections

from dbrouting.provisioning import create_database
from tenants.errors import TenantError
from tenants.places import copying
from tenants.places.isolation import kind_of_place

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

Places = tuple[str, str]

# References in a circle and to itself; values that drivers change; a column that is computed.
TABLES = (
    "CREATE TABLE hen (id integer AUTO_INCREMENT PRIMARY KEY, egg_id integer)",
    "CREATE TABLE egg (id integer AUTO_INCREMENT PRIMARY KEY, hen_id integer REFERENCES hen (id), twin_id integer, "
    "twice integer AS (hen_id * 2) STORED, bits bit(3), bytes blob, ratio float, words varchar(50), laid timestamp(6) "
    "NULL, FOREIGN KEY (hen_id) REFERENCES hen (id), FOREIGN KEY (twin_id) REFERENCES egg (id))",
    "ALTER TABLE hen ADD FOREIGN KEY (egg_id) REFERENCES egg (id)",
    "CREATE TABLE visit (id integer)",
)
ROWS = (
    "INSERT INTO hen VALUES (1, NULL), (2, NULL), (9, NULL)",
    "DELETE FROM hen WHERE id = 9",
    "INSERT INTO egg (hen_id, bits, bytes, ratio, words, laid) "
    "VALUES (1, b'101', x'00ff27', 16777215, 'it''s 100% \\\\ ü', '2026-03-01 12:00:00.000001')",
    "UPDATE egg SET twin_id = 1",
    "UPDATE hen SET egg_id = 1",
    "INSERT INTO visit VALUES (1)",
)
EGGS = "SELECT id, hen_id, twin_id, twice, bits + 0, HEX(bytes), CAST(ratio AS DOUBLE), words, laid FROM egg"


def execute(alias: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows that the last of ``statements`` gives."""
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connections[alias].close()
    return list(rows)


@pytest.fixture
def farms(places: Places) -> Places:
    for alias in places:
        create_database(connections[alias])
        execute(alias, *TABLES)
    execute(places[0], *ROWS)
    return places


def copy_rows(farms: Places) -> None:
    kind_of_place().copy_rows(connections[farms[0]], connections[farms[1]], without=["visit"])


def test_rows_of_every_kind_arrive_but_for_those_left_out(farms: Places) -> None:
    copy_rows(farms)

    assert execute(farms[1], EGGS) == execute(farms[0], EGGS)
    assert execute(farms[1], "SELECT id, egg_id FROM hen") == [(1, 1), (2, 1)]
    assert execute(farms[1], "SELECT COUNT(*) FROM visit") == [(0,)]


def test_numbers_go_on_and_constraints_hold(farms: Places) -> None:
    copy_rows(farms)

    assert execute(farms[1], "INSERT INTO hen VALUES ()", "SELECT MAX(id) FROM hen") == [(10,)]
    with pytest.raises(IntegrityError):
        execute(farms[1], "UPDATE egg SET hen_id = 7")


def test_what_is_written_meanwhile_is_in_no_table_of_the_copy(farms: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    really = copying.copy_table

    def copy_table(*arguments: Any) -> None:
        execute(farms[0], "INSERT INTO egg VALUES ()", "UPDATE hen SET egg_id = (SELECT MAX(id) FROM egg)")
        really(*arguments)

    monkeypatch.setattr(copying, "copy_table", copy_table)
    copy_rows(farms)

    assert execute(farms[0], "SELECT COUNT(*) FROM egg") == [(3,)]
    assert execute(farms[1], "SELECT egg.id, egg_id FROM egg, hen WHERE hen.id = 1") == [(1, 1)]


def test_a_table_that_no_migration_makes_is_an_error_and_nothing_is_copied(farms: Places) -> None:
    execute(farms[0], "CREATE TABLE by_hand (id integer)")

    with pytest.raises(TenantError, match="by_hand in the original is not what the migrations make"):
        copy_rows(farms)
    assert execute(farms[1], "SELECT COUNT(*) FROM hen") == [(0,)]


def test_large_tables_arrive_in_parts(farms: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "ENOUGH", 10)
    copy_rows(farms)

    assert execute(farms[1], "SELECT COUNT(*) FROM hen") == [(2,)]
