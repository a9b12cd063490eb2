"""What config/engine.py promises is true of the sessions on the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.mysql.base import DatabaseWrapper

from catalogue.models import Category, Product
from config import engine
from config.env import from_url
from dbrouting.provisioning import create_database, drop_database
from dbrouting.server_users import pattern

pytestmark = pytest.mark.django_db


def configured(query: str = "") -> dict[str, Any]:
    return from_url("some", "SOME_DATABASE_URL", f"mysql://u:p@h/n{query}")


@contextmanager
def session(query: str = "", *, read_only: bool = False) -> Iterator[BaseDatabaseWrapper]:
    """A session of its own on the tests' server, with the options that a URL ending in ``query`` leads to."""
    config = engine.read_only(configured(query)) if read_only else configured(query)
    own = connections[router.db_for_write(Product)].settings_dict
    place = {key: own[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    connection = DatabaseWrapper({**own, **config, **place}, alias="some")
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: BaseDatabaseWrapper, query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def isolation_level(connection: BaseDatabaseWrapper) -> str:
    name = "tx_isolation" if getattr(connection, "mysql_is_mariadb", False) else "transaction_isolation"
    return str(ask(connection, f"SELECT @@{name}"))


@pytest.mark.parametrize("hosts", ["h1,h2", "h1:3306,h2:3306", "u:secret@h1:3306,h2"])
def test_a_list_of_hosts_is_refused_for_the_driver_knows_one(hosts: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"SOME_DATABASE_URL, .* it lists several hosts.*a proxy") as caught:
        from_url("some", "SOME_DATABASE_URL", f"mysql://{hosts}/n")

    assert "secret" not in str(caught.value)


def test_a_url_wins_over_the_defaults() -> None:
    config = configured("?CONN_MAX_AGE=7&connect_timeout=1")

    assert config["CONN_MAX_AGE"] == 7
    assert config["OPTIONS"]["connect_timeout"] == 1
    assert configured()["CONN_MAX_AGE"] == 60


def test_sessions_are_strict_and_read_what_is_committed() -> None:
    with session() as connection:
        assert {"STRICT_TRANS_TABLES", "NO_ZERO_DATE"} <= set(ask(connection, "SELECT @@sql_mode").split(","))
        assert isolation_level(connection) == "READ-COMMITTED"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DatabaseError, match="too long"):
        Category.objects.create(name="x" * 1000, slug="x")


def test_all_of_unicode_is_stored_and_sent() -> None:
    Category.objects.create(name="🍵 茶", slug="tea")

    assert Category.objects.get(slug="tea").name == "🍵 茶"


def test_a_database_that_is_made_takes_all_of_unicode_whatever_the_server_likes() -> None:
    with session() as connection:
        connection.settings_dict["NAME"] += "_unicode"
        create_database(connection)
        try:
            assert ask(connection, "SELECT @@character_set_database") == "utf8mb4"
        finally:
            drop_database(connection)


def test_a_dead_connection_is_replaced_before_the_next_request_uses_it() -> None:
    with session() as connection, session() as other:
        thread = ask(connection, "SELECT CONNECTION_ID()")
        with other.cursor() as cursor:
            cursor.execute(f"KILL {thread}")
        connection.close_if_unusable_or_obsolete()  # as a request that starts does

        assert ask(connection, "SELECT CONNECTION_ID()") != thread


def test_a_read_only_session_refuses_to_write() -> None:
    with session(read_only=True) as connection, pytest.raises(DatabaseError, match="READ ONLY"):
        ask(connection, "CREATE TABLE note (id integer)")


def test_a_read_only_session_keeps_what_its_own_url_sets() -> None:
    with session("?init_command=SET%20%40mine%20%3D%205", read_only=True) as connection:
        assert ask(connection, "SELECT @mine") == 5
        with pytest.raises(DatabaseError, match="READ ONLY"):
            ask(connection, "CREATE TABLE note (id integer)")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("shop", "`shop`"), ("my_shop", r"`my\_shop`"), ("my_shop_*", r"`my\_shop\_%%`"), ("a`%b", r"`a``\%%b`")],
)
def test_a_grant_is_for_the_names_that_are_meant(name: str, expected: str) -> None:
    assert pattern(name) == expected
