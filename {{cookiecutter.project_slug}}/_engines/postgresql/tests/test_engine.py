"""What config/engine.py promises is true of the sessions on the server, and what a URL asks for is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import InternalError, OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper

from catalogue.models import Product
from config import engine
from config.env import from_url
from dbrouting.administration import server_of
from dbrouting.aliases import lent
from dbrouting.provisioning import close_pool, migration_lock

pytestmark = pytest.mark.django_db


def configured(query: str = "", **changes: Any) -> dict[str, Any]:
    return {**from_url("some", "SOME_DATABASE_URL", f"postgres://u:p@h/n{query}"), **changes}


@contextmanager
def session(query: str = "", *, read_only: bool = False) -> Iterator[DatabaseWrapper]:
    """A session of its own on the tests' server, with the options that a URL ending in ``query`` leads to."""
    config = engine.read_only(configured(query)) if read_only else configured(query)
    own = connections[router.db_for_write(Product)].settings_dict
    place = {key: own[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    connection = DatabaseWrapper({**own, **config, **place}, alias="some")
    try:
        yield connection
    finally:
        connection.close()
        close_pool(connection)


def ask(connection: BaseDatabaseWrapper, query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def test_a_url_wins_over_the_defaults() -> None:
    config = configured("?CONN_MAX_AGE=7&connect_timeout=1")

    assert config["CONN_MAX_AGE"] == 7
    assert config["OPTIONS"]["connect_timeout"] == 1
    assert configured()["CONN_MAX_AGE"] == 60


def test_the_driver_has_the_time_limits() -> None:
    with session() as connection:
        connection.ensure_connection()
        parameters = connection.connection.info.get_parameters()

    limits = {name: int(parameters[name]) for name in engine.OPTIONS}
    assert limits == engine.OPTIONS


def test_a_dead_connection_is_replaced_before_the_next_request_uses_it() -> None:
    with session() as connection, session() as other:
        backend = ask(connection, "SELECT pg_backend_pid()")
        ask(other, f"SELECT pg_terminate_backend({backend})")
        connection.close_if_unusable_or_obsolete()  # as a request that starts does

        assert ask(connection, "SELECT pg_backend_pid()") != backend


def test_a_read_only_session_refuses_to_write_and_keeps_its_own_options() -> None:
    with session("?options=-c%20work_mem%3D5MB", read_only=True) as connection:
        assert ask(connection, "SHOW work_mem") == "5MB"
        with pytest.raises(InternalError, match="read-only"):
            ask(connection, "CREATE TABLE note (id integer)")


def test_a_pool_keeps_connections_and_gives_each_its_time() -> None:
    with session("?pool=true") as connection:
        assert connection.settings_dict["CONN_MAX_AGE"] == 0
        backend = ask(connection, "SELECT pg_backend_pid()")
        connection.close()
        assert ask(connection, "SELECT pg_backend_pid()") == backend
        assert connection.pool.max_size == engine.POOL["max_size"]


def test_a_pool_is_as_large_as_its_url_says_and_who_finds_none_free_is_told() -> None:
    with session("?pool=2") as connection:
        second, third = connection.copy(), connection.copy()  # as other threads have them
        connection.ensure_connection()
        second.ensure_connection()
        connection.pool.timeout = 0.01
        with pytest.raises(OperationalError, match="couldn't get a connection"):
            third.ensure_connection()
        second.close()
        third.ensure_connection()
        third.close()


def test_without_a_switch_there_is_no_pool() -> None:
    assert "pool" not in configured()["OPTIONS"]
    assert "pool" not in configured("?pool=false")["OPTIONS"]


def test_a_database_that_is_lent_leaves_no_pool_behind() -> None:
    own = connections[router.db_for_write(Product)].settings_dict
    pooled = {"ENGINE": engine.ENGINE, "CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"min_size": 0, "max_size": 1}}}
    with lent({**own, **pooled}) as alias:
        assert ask(connections[alias], "SELECT 1") == 1
        pool = DatabaseWrapper._connection_pools[alias]  # type: ignore[attr-defined]  # without a stub

    assert pool.closed


def test_a_url_may_leave_out_the_port() -> None:
    without, usual, other = (
        from_url("some", "SOME_DATABASE_URL", f"postgres://u:p@h{port}/n") for port in ("", ":5432", ":5433")
    )

    assert server_of(without) == server_of(usual)
    assert server_of(usual) != server_of(other)


def listing(hosts: str) -> dict[str, Any]:
    return from_url("some", "SOME_DATABASE_URL", f"postgres://u:secret@{hosts}/n?target_session_attrs=read-write")


@pytest.mark.parametrize(
    ("hosts", "names", "ports"),
    [
        ("h1,h2", "h1,h2", ""),
        ("h1:5432,h2:5433", "h1,h2", "5432,5433"),
        ("10.0.0.1:5432,[fd00::2]:5432", "10.0.0.1,fd00::2", "5432,5432"),
        ("[fd00::1]:5432", "fd00::1", 5432),
    ],
)
def test_a_url_may_list_several_hosts(hosts: str, names: str, ports: object) -> None:
    config = listing(hosts)

    assert (config["HOST"], config["PORT"]) == (names, ports)
    assert (config["USER"], config["PASSWORD"], config["NAME"]) == ("u", "secret", "n")
    assert config["OPTIONS"]["target_session_attrs"] == "read-write"
    assert config["CONN_HEALTH_CHECKS"] is True


@pytest.mark.parametrize(
    "hosts", ["h1,", "h1,,h2", "h1:5432,h2", "h1,h2:5432", "h1:5432,h2:port", "h1:5432,h2:0", "h1:5432,fd00::x,h3"]
)
def test_a_wrong_list_of_hosts_is_named_without_its_password(hosts: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"SOME_DATABASE_URL, .* on {hosts}, .*: .*hosts") as caught:
        listing(hosts)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("switch", ["pool=maybe", "pool=-1", "pgbouncer=often"])
def test_a_wrong_switch_is_named(switch: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"SOME_DATABASE_URL, .* on h, can't be used: {switch} must be"):
        configured(f"?{switch}")


def test_the_lock_of_migrate_belongs_to_a_transaction_that_holds_no_snapshot() -> None:
    """Behind PgBouncer it would stay in the pool otherwise, and a CREATE INDEX CONCURRENTLY would wait for it."""
    holder = (
        "SELECT string_agg(state || coalesce(' since ' || backend_xmin::text, ''), ',') FROM pg_stat_activity "
        "JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND datname = current_database()"
    )
    with session("?options=-c%20default_transaction_isolation%3Dserializable") as connection:
        with migration_lock(connection):
            assert ask(connection, holder) == "idle in transaction"
        assert ask(connection, holder) is None


def test_no_time_limit_ends_the_lock_of_migrate() -> None:
    with (
        session("?options=-c%20idle_in_transaction_session_timeout%3D1") as connection,
        migration_lock(connection),
        session() as other,
    ):
        ask(other, "SELECT pg_sleep(0.05)")
        with pytest.raises(CommandError, match="Another `migrate` is at work"), migration_lock(other):
            pass


def test_behind_pgbouncer_nothing_outlives_a_transaction() -> None:
    config = engine.read_only(configured("?pgbouncer=true"))

    assert config["CONN_MAX_AGE"] == 0
    assert config["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert "options" not in config["OPTIONS"]
    assert "pgbouncer" not in config["OPTIONS"]
