"""A live tenant's rows are copied as they are at one moment, whatever its tables ask of them."""

from typing import Any

import pytest
from django.db import IntegrityError, connections
from django.db.backends.utils import CursorWrapper

from dbrouting.provisioning import create_database
from tenants.errors import TenantError
from tenants.places import copying
from tenants.places.isolation import kind_of_place

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

Places = tuple[str, str]

# References in a circle and to itself, checked at once; a type and numbers of its own; a column that is computed.
TABLES = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE egg (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hen_id integer, twin_id integer REFERENCES egg,
    moods mood[], twice integer GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE hen (id serial PRIMARY KEY, egg_id integer REFERENCES egg);
ALTER TABLE egg ADD FOREIGN KEY (hen_id) REFERENCES hen;
CREATE TABLE visit (id integer);
CREATE MATERIALIZED VIEW hens AS SELECT count(*) AS number FROM hen;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE check_violation; END';
"""
ROWS = """
INSERT INTO hen DEFAULT VALUES; INSERT INTO hen DEFAULT VALUES; DELETE FROM hen WHERE id = 2;
INSERT INTO egg (hen_id, moods) VALUES (1, '{sad,glad}');
UPDATE egg SET twin_id = id; UPDATE hen SET egg_id = 1; INSERT INTO visit VALUES (1);
"""
TRIGGER = "CREATE TRIGGER refuse BEFORE INSERT ON hen FOR EACH ROW EXECUTE FUNCTION refuse()"


def execute(alias: str, statements: str) -> list[tuple[Any, ...]]:
    """The rows that the last of ``statements`` gives."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statements)
        while cursor.nextset():
            pass
        rows = cursor.fetchall() if cursor.description else []
    connections[alias].close()
    return list(rows)


@pytest.fixture
def farms(places: Places) -> Places:
    for alias in places:
        create_database(connections[alias])
        execute(alias, TABLES)
    execute(places[0], ROWS)
    for alias in places:
        execute(alias, TRIGGER)
    return places


def copy_rows(farms: Places) -> None:
    kind_of_place().copy_rows(connections[farms[0]], connections[farms[1]], without=["visit"])


def test_rows_of_every_kind_arrive_but_for_those_left_out(farms: Places) -> None:
    copy_rows(farms)

    assert execute(farms[1], "SELECT id, hen_id, twin_id, moods::text, twice FROM egg") == [(1, 1, 1, "{sad,glad}", 2)]
    assert execute(farms[1], "SELECT id, egg_id FROM hen") == [(1, 1)]
    assert execute(farms[1], "SELECT count(*) FROM visit") == [(0,)]
    assert execute(farms[1], "SELECT number FROM hens") == [(1,)]


def test_numbers_go_on_where_the_original_is(farms: Places) -> None:
    copy_rows(farms)

    assert execute(farms[1], "SELECT nextval('hen_id_seq')") == [(3,)]
    assert execute(farms[1], "INSERT INTO egg DEFAULT VALUES RETURNING id") == [(2,)]


def test_constraints_and_triggers_are_there_again(farms: Places) -> None:
    copy_rows(farms)

    for statement in ("UPDATE egg SET hen_id = 7", "UPDATE egg SET twin_id = 7", "INSERT INTO hen DEFAULT VALUES"):
        with pytest.raises(IntegrityError):
            execute(farms[1], statement)
        connections[farms[1]].close()


def test_what_is_written_meanwhile_is_in_no_table_of_the_copy(farms: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    really = copying.copy_table

    def copy_table(reader: CursorWrapper, source: copying.Relation, *others: Any) -> None:
        execute(farms[0], "INSERT INTO egg DEFAULT VALUES; UPDATE hen SET egg_id = (SELECT max(id) FROM egg)")
        really(reader, source, *others)

    monkeypatch.setattr(copying, "copy_table", copy_table)
    copy_rows(farms)

    assert execute(farms[0], "SELECT count(*) FROM egg") == [(3,)]
    assert execute(farms[1], "SELECT egg.id, egg_id FROM egg, hen") == [(1, 1)]


def test_a_table_that_no_migration_makes_is_an_error_and_nothing_is_copied(farms: Places) -> None:
    execute(farms[0], "CREATE TABLE by_hand (id integer)")

    with pytest.raises(TenantError, match="by_hand in the original is not what the migrations make"):
        copy_rows(farms)
    assert execute(farms[1], "SELECT count(*) FROM hen") == [(0,)]


def test_a_copy_that_fails_copies_nothing(farms: Places) -> None:
    execute(farms[1], "ALTER TABLE egg ADD CHECK (id > 1)")

    with pytest.raises(IntegrityError):
        copy_rows(farms)
    assert execute(farms[1], "SELECT count(*) FROM hen") == [(0,)]
