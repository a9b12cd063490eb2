"""Physical databases are made, found and dropped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.aliases import usable_aliases
from dbrouting.provisioning import create_database, database_exists, drop_database

pytestmark = pytest.mark.django_db


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[BaseDatabaseWrapper]:
    """A connection to a database that isn't there."""
    connection = connections[usable_aliases()[0]].copy(alias="fresh")
    names = {"sqlite": f"{(tmp_path / 'made?#%' / 'fresh.sqlite3').as_uri()}?mode=rw"}
    # Beside the tests' own, for on MySQL the user may make no others.
    connection.settings_dict["NAME"] = names.get(connection.vendor, f"{connection.settings_dict['NAME']}_fresh")
    yield connection
    drop_database(connection)


def test_a_missing_database_is_made_once(fresh: BaseDatabaseWrapper) -> None:
    assert not database_exists(fresh)
    assert create_database(fresh) is True
    assert create_database(fresh) is False
    with fresh.cursor() as cursor:
        cursor.execute("CREATE TABLE note (id integer)")
    fresh.close()


def test_a_dropped_database_is_gone_with_its_rows(fresh: BaseDatabaseWrapper) -> None:
    create_database(fresh)
    drop_database(fresh)
    assert not database_exists(fresh)
    drop_database(fresh)
