"""A live tenant's file is copied as it is at one moment, and nothing of its sessions is in the copy."""

import sqlite3
from contextlib import closing

import pytest
from django.db import connections

from dbrouting.provisioning import create_database, sqlite_path
from tenants.places.isolation import kind_of_place

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

Places = tuple[str, str]


@pytest.fixture
def shops(places: Places) -> Places:
    for alias in places:
        create_database(connections[alias])
    with closing(sqlite3.connect(sqlite_path(connections[places[0]]))) as file:
        file.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE note (id integer); CREATE TABLE django_session (session_data text);"
            "INSERT INTO note VALUES (1); INSERT INTO django_session VALUES ('the-secret-of-a-session')"
        )
    return places


def copy_rows(shops: Places) -> None:
    kind_of_place().copy_rows(connections[shops[0]], connections[shops[1]], without=["django_session"])


def test_a_writer_neither_waits_nor_is_half_copied(shops: Places) -> None:
    with closing(sqlite3.connect(sqlite_path(connections[shops[0]]), timeout=0)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO note VALUES (2)")
        copy_rows(shops)
        writer.execute("INSERT INTO note VALUES (3)")
        writer.commit()

    with connections[shops[1]].cursor() as cursor:
        cursor.execute("SELECT id FROM note")
        assert cursor.fetchall() == [(1,)]


def test_nothing_of_the_sessions_is_left_in_the_file(shops: Places) -> None:
    copy_rows(shops)

    original, copy = (sqlite_path(connections[alias]) for alias in shops)
    connections[shops[0]].close()
    assert b"the-secret" in original.read_bytes()
    assert b"the-secret" not in copy.read_bytes()
