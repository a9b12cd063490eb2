"""Tenants take turns at the sessions of one stock, and none finds what another left there, or a shared row."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.core.signals import request_finished, request_started
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.transaction import Atomic
from psycopg import IsolationLevel

import config.databases
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.provisioning import create_database, database_exists, drop_database, migration_lock
from dbrouting.schemas import sessions
from dbrouting.schemas.provisioning import outside_schemas
from dbrouting.tenant_backend.stock import Line, Stock
from dbrouting.tenant_backend.wrapper import Stocked
from dbrouting.tenant_connections import close_old_connections
from dbrouting.tenant_context import CurrentTenant, tenant_context
from tenants.errors import TenantError
from tenants.models import Tenant
from tenants.services import create_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_database")]

ONE, OTHER = "tmp_one", "tmp_other"


def connection_to(schema: str, stock: Stock) -> Any:
    """Like acme's, but in ``schema`` and with sessions from ``stock``."""
    connection: Any = connections["tenant_acme"].copy(alias=schema)
    connection.settings_dict["SCHEMA"] = schema
    connection.stock = lambda: stock
    return connection


@pytest.fixture
def stock() -> Iterator[Stock]:
    """It holds a single session, so that a tenant gets what another one left."""
    stock = Stock(1, patience=2)
    yield stock
    for place in tuple(stock._idle):
        stock.close(place)


@pytest.fixture(autouse=True)
def _two_schemas_and_a_shared_table() -> Iterator[None]:
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute(f"CREATE SCHEMA {ONE}; CREATE SCHEMA {OTHER}")
        for schema in (ONE, OTHER, "public"):
            cursor.execute(f"CREATE TABLE {schema}.note AS SELECT '{schema}' AS owner FROM generate_series(1, 5)")
        cursor.execute("CREATE TABLE public.shared AS SELECT 'public' AS owner")
    yield
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute(f"DROP SCHEMA {ONE} CASCADE; DROP SCHEMA {OTHER} CASCADE")
        cursor.execute("DROP TABLE public.note; DROP TABLE public.shared")


@pytest.fixture
def one(stock: Stock) -> Iterator[Any]:
    connection = connection_to(ONE, stock)
    yield connection
    connection.close()


@pytest.fixture
def other(stock: Stock) -> Iterator[Any]:
    connection = connection_to(OTHER, stock)
    yield connection
    connection.close()


def execute(connection: BaseDatabaseWrapper, *statements: str) -> Any:
    """The first value that the last of ``statements`` gives."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def owner(connection: BaseDatabaseWrapper) -> Any:
    return execute(connection, "SELECT owner FROM note")


def session_of(connection: BaseDatabaseWrapper) -> Any:
    return execute(connection, "SELECT pg_backend_pid()")


def kill_session_of(connection: BaseDatabaseWrapper) -> None:
    """As a server that restarts does."""
    pid = session_of(connection)
    with outside_schemas(connection) as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


# The search path


def test_a_tenants_session_is_in_its_schema_only(one: Any) -> None:
    assert execute(one, "SELECT current_schemas(true)") == ["pg_catalog", ONE]
    assert owner(one) == ONE


def test_a_table_that_the_tenant_lacks_is_an_error_not_the_shared_one(one: Any) -> None:
    with pytest.raises(ProgrammingError, match='relation "shared" does not exist'):
        execute(one, "SELECT owner FROM shared")
    execute(one, "DROP TABLE note")
    with pytest.raises(ProgrammingError, match='relation "note" does not exist'):
        owner(one)


def roll_back(connection: BaseDatabaseWrapper) -> None:
    connection.set_autocommit(False)
    owner(connection)
    connection.rollback()
    connection.set_autocommit(True)


def roll_back_to_a_savepoint(connection: BaseDatabaseWrapper) -> None:
    connection.set_autocommit(False)
    savepoint = connection.savepoint()
    assert savepoint
    with suppress(DatabaseError):
        execute(connection, "SELECT 1 / 0")
    connection.savepoint_rollback(savepoint)
    assert owner(connection) == ONE
    connection.rollback()
    connection.set_autocommit(True)


def fail_in_a_transaction(connection: BaseDatabaseWrapper) -> None:
    connection.set_autocommit(False)
    with suppress(DatabaseError):
        execute(connection, "SELECT 1 / 0")
    connection.rollback()
    connection.set_autocommit(True)


def close_in_a_transaction(connection: BaseDatabaseWrapper) -> None:
    connection.set_autocommit(False)
    owner(connection)
    connection.close()


def read_through_a_server_side_cursor(connection: BaseDatabaseWrapper) -> None:
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT owner FROM note")
        assert [cursor.fetchone()[0] for _ in range(3)] == [ONE] * 3


def lose_the_session(connection: BaseDatabaseWrapper) -> None:
    kill_session_of(connection)
    with pytest.raises(OperationalError):
        owner(connection)
    connection.close()


@pytest.mark.parametrize(
    "event",
    [
        roll_back,
        roll_back_to_a_savepoint,
        fail_in_a_transaction,
        close_in_a_transaction,
        read_through_a_server_side_cursor,
        lose_the_session,
        lambda connection: connection.close(),
    ],
)
def test_it_stays_there_whatever_happens(one: Any, other: Any, event: Callable[[BaseDatabaseWrapper], None]) -> None:
    other.ensure_connection()
    other.close()
    for _ in range(2):
        event(one)
        assert owner(one) == ONE
    one.close()
    assert owner(other) == OTHER


def test_a_query_set_read_in_chunks_keeps_to_its_tenant(acme: CurrentTenant, globex: CurrentTenant) -> None:
    for tenant in (acme, globex):
        with tenant_context(tenant, switch=True):
            CategoryFactory.create_batch(5, name=tenant.name)
    with tenant_context(acme):
        chunks = Category.objects.iterator(chunk_size=2)
        found = [next(chunks).name]
        with tenant_context(globex, switch=True):
            assert {category.name for category in Category.objects.iterator(chunk_size=2)} == {"globex"}
        assert {*found, *(category.name for category in chunks)} == {"acme"}


# What the last borrower left


@pytest.mark.parametrize(
    "left",
    [
        f"SET search_path TO {ONE}, public",
        "SET search_path TO public",
        "RESET search_path",
        "RESET ALL",
        "DISCARD ALL",
        "CREATE TEMPORARY TABLE note AS SELECT 'temporary' AS owner",
        "BEGIN; SET search_path TO public",
        f"BEGIN; SET LOCAL search_path TO {ONE}",
    ],
)
def test_the_next_one_finds_its_own_rows_whatever_the_last_one_did(one: Any, other: Any, left: str) -> None:
    for borrower, schema in ((other, OTHER), (one, ONE)):  # another tenant, and the same one
        execute(one, left)
        session = session_of(one)
        one.close()

        assert owner(borrower) == schema
        assert session_of(borrower) == session
        borrower.close()


def test_nothing_else_is_left_in_the_session(one: Any, other: Any) -> None:
    zone = execute(one, "SHOW TimeZone")
    execute(one, f'SET ROLE "{one.settings_dict["USER"]}"')
    execute(one, "SET statement_timeout = 77777", "SET TimeZone TO 'Asia/Tokyo'", "SELECT pg_advisory_lock(1)")
    execute(one, "LISTEN gossip", "PREPARE plan AS SELECT 1", "CREATE TEMPORARY TABLE secret (id integer)")
    session = session_of(one)
    one.close()

    assert session_of(other) == session
    assert execute(other, "SHOW role") == "none"
    assert execute(other, "SHOW statement_timeout") == "0"
    assert execute(other, "SHOW TimeZone") == zone
    for view in ("pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "pg_prepared_statements"):
        assert execute(other, f"SELECT count(*) FROM {view}") == 0
    assert execute(other, "SELECT count(*) FROM pg_listening_channels()") == 0
    with pytest.raises(ProgrammingError, match='relation "secret" does not exist'):
        execute(other, "SELECT * FROM secret")


def test_what_the_driver_was_told_is_forgotten(one: Any, other: Any) -> None:
    one.ensure_connection()
    session = one.connection
    session.read_only = session.deferrable = True
    session.isolation_level = IsolationLevel.SERIALIZABLE
    one.close()

    other.ensure_connection()

    assert other.connection is session
    assert (session.read_only, session.deferrable, session.isolation_level) == (None, None, None)


@pytest.mark.parametrize("statement", ["RESET ALL", "RESET search_path", "SET search_path TO DEFAULT", "DISCARD ALL"])
def test_a_reset_in_the_middle_leaves_no_table_rather_than_the_shared_ones(one: Any, statement: str) -> None:
    execute(one, statement)

    with pytest.raises(ProgrammingError, match='relation "note" does not exist'):
        owner(one)


def test_a_session_that_cannot_be_cleaned_is_not_used_again(one: Any, other: Any) -> None:
    session = session_of(one)
    kill_session_of(one)
    one.close()

    assert owner(other) == OTHER
    assert session_of(other) != session


# The stock


def test_sessions_that_died_while_nobody_used_them_are_replaced_at_once() -> None:
    stock = Stock(2)
    first, second = (connection_to(ONE, stock) for _ in range(2))
    pids = {session_of(first), session_of(second)}
    first.close()
    second.close()
    with outside_schemas(first) as cursor:
        for pid in pids:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    assert owner(first) == owner(second) == ONE
    assert not pids & {session_of(first), session_of(second)}
    first.close()
    second.close()
    first.close_pool()


def test_a_session_whose_death_shows_only_when_it_is_used_is_replaced(
    one: Any, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = session_of(one)
    one.close()
    with outside_schemas(one) as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [dead])
    monkeypatch.setattr(Line, "is_alive", lambda line: True)

    assert owner(one) == ONE
    assert session_of(one) != dead


def test_a_missing_schema_is_an_error_that_takes_no_session_along(one: Any, stock: Stock) -> None:
    nobody = connection_to("tmp_nobody", stock)
    for _ in range(3):
        with pytest.raises(OperationalError, match='schema "tmp_nobody" does not exist'):
            owner(nobody)
    assert owner(one) == ONE


def test_sessions_that_do_not_begin_without_a_schema_are_refused(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What PgBouncer does if it is told to ignore ``options``; with its transactions the path would go to others."""
    of_django = DatabaseWrapper.get_connection_params
    monkeypatch.setattr(sessions.DatabaseWrapper, "get_connection_params", of_django)

    with pytest.raises(OperationalError, match="PgBouncer"):
        owner(one)


@pytest.fixture
def tmp_tenants(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Aliases of a hundred tenants without tables, whose sessions are called after this fixture."""
    server = {**config.databases.TENANT_SERVER, "NAME": connections["tenant_acme"].settings_dict["NAME"]}
    server["OPTIONS"] = {**server["OPTIONS"], "application_name": "tmp_tenants"}
    monkeypatch.setattr(config.databases, "TENANT_SERVER", server)
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", "tmp")
    aliases = [f"tenant_t{number}" for number in range(100)]
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute("; ".join(f"CREATE SCHEMA {schema_at(alias)}" for alias in aliases))
    yield aliases
    close_old_connections()
    connections[aliases[0]].close_pool()  # type: ignore[attr-defined]  # of this backend's only
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute("; ".join(f"DROP SCHEMA {schema_at(alias)}" for alias in aliases))


def schema_at(alias: str) -> str:
    return str(connections.settings[alias]["SCHEMA"])


def sessions_of_tmp_tenants() -> int:
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tmp_tenants'")
        return int(cursor.fetchone()[0])


def test_a_hundred_tenants_need_no_more_sessions_than_threads(tmp_tenants: list[str]) -> None:
    threads = 8
    all_are_served = threading.Barrier(threads, timeout=20)
    counts: list[int] = []

    def serve(thread: int) -> set[bool]:
        kept_apart = set()
        for turn in range(len(tmp_tenants)):
            alias = tmp_tenants[turn - 7 * thread]
            request_started.send(sender=None, environ={})
            kept_apart.add(execute(connections[alias], "SELECT current_schema()") == schema_at(alias))
            if turn % 20 == 0:
                all_are_served.wait()
                counts.append(sessions_of_tmp_tenants())
                all_are_served.wait()
            request_finished.send(sender=None)
        return kept_apart

    with ThreadPoolExecutor(threads) as pool:
        assert set().union(*pool.map(serve, range(threads))) == {True}
    assert set(counts) == {threads}


def test_a_command_that_visits_every_tenant_needs_one_session(tmp_tenants: list[str]) -> None:
    for alias in tmp_tenants:
        assert execute(connections[alias], "SELECT current_schema()") == schema_at(alias)

    assert sessions_of_tmp_tenants() == 1


def test_what_is_open_in_a_tenant_stays_open_while_another_is_visited(tmp_tenants: list[str]) -> None:
    transaction, cursor, last = (connections[alias] for alias in tmp_tenants[:3])
    with Atomic(transaction.alias, savepoint=True, durable=False):
        execute(transaction, "CREATE TABLE note AS SELECT 1")
        with cursor.chunked_cursor() as chunks:
            chunks.execute("SELECT generate_series(1, 5)")
            assert chunks.fetchone() == (1,)
            execute(last, "SELECT 1")
            assert chunks.fetchone() == (2,)
        assert execute(transaction, "SELECT * FROM note") == 1
        transaction.set_rollback(True)


def test_a_transaction_begun_in_sql_stays_open_while_another_tenant_is_visited(tmp_tenants: list[str]) -> None:
    one, other = (connections[alias] for alias in tmp_tenants[:2])
    execute(one, "BEGIN", "CREATE TABLE note AS SELECT 1")

    execute(other, "SELECT 1")

    assert execute(one, "SELECT * FROM note") == 1
    execute(one, "ROLLBACK")


def test_a_session_whose_cleaning_is_interrupted_is_replaced(
    one: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker's soft time limit, for instance."""
    execute(one, "SET application_name = 'left'")
    with monkeypatch.context() as patch:
        patch.setattr(one, "leave", interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.close()

    assert owner(other) == OTHER


def interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_statements_that_would_be_prepared_work_in_a_session_that_changed_hands(one: Any) -> None:
    one.settings_dict["OPTIONS"].update(server_side_binding=True, prepare_threshold=2)

    for times in (1, 4, 1):
        assert {owner(one) for _ in range(times)} == {ONE}
        one.close()


def test_a_connection_that_is_closed_in_a_transaction_has_let_go_of_its_session(tmp_tenants: list[str]) -> None:
    one = connections[tmp_tenants[0]]
    with Atomic(one.alias, savepoint=True, durable=False):
        one.close()
        with pytest.raises(DatabaseError, match="Cannot open a new connection in an atomic block"):
            execute(one, "SELECT 1")
    assert execute(one, "SELECT current_schema()") == schema_at(one.alias)


def test_a_cursor_that_was_kept_reads_nobody_elses_rows(one: Any, other: Any) -> None:
    cursor = one.cursor()
    cursor.execute("SELECT owner FROM note")
    one.close()

    assert owner(other) == OTHER
    with pytest.raises(InterfaceError, match="closed"):
        cursor.execute("SELECT owner FROM note")


@pytest.mark.parametrize("max_age", [None, 60])
def test_sessions_of_all_tenants_are_never_kept_by_one(one: Any, max_age: int | None) -> None:
    one.settings_dict["CONN_MAX_AGE"] = max_age

    with pytest.raises(ImproperlyConfigured, match="CONN_MAX_AGE = 0"):
        owner(one)


# Names


@pytest.mark.parametrize(
    "name",
    [
        *['a"b', 'tmp_one"; DROP SCHEMA tmp_other; --', "tmp_one, public", "a\n", "é"],
        *["Tmp_One", "1a", "_a", "tmp-one"],
        *["public", "pg_x", "pg_catalog", "information_schema", "x" * 64, "", None],
    ],
)
def test_a_dangerous_name_is_refused_by_whatever_uses_it(one: Any, name: str | None) -> None:
    one.settings_dict["SCHEMA"] = name

    for use in (owner, database_exists, create_database, drop_database):
        with pytest.raises(ImproperlyConfigured, match="can't be a tenant's"):
            use(one)


def test_names_are_quoted(one: Any, stock: Stock) -> None:
    keyword = connection_to("order", stock)
    create_database(keyword)
    try:
        execute(keyword, "CREATE TABLE note AS SELECT 'order' AS owner")
        assert owner(keyword) == "order"
        keyword.close()
        assert owner(one) == ONE
    finally:
        drop_database(keyword)


@pytest.mark.parametrize(("prefix", "name", "user"), [("information", "schema", "any"), ("tmp", "shop", "tmp_shop")])
def test_no_tenant_gets_a_schema_that_others_queries_find(
    monkeypatch: pytest.MonkeyPatch, prefix: str, name: str, user: str
) -> None:
    """The shared database's queries look in a schema that is called like the role before they look in ``public``."""
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", prefix)
    monkeypatch.setattr(config.databases, "SHARED_DATABASE", {**config.databases.SHARED_DATABASE, "USER": user})

    assert f"tenant_{name}" not in connections.settings
    assert f"tenant_{name}s" in connections.settings


@pytest.mark.no_tenant
def test_a_tenant_with_such_a_name_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", "information")

    with pytest.raises(TenantError, match="'schema' would share"):
        create_tenant("schema")
    assert not Tenant.objects.filter(name="schema").exists()


# Making and dropping


def test_a_schema_is_made_once_and_dropped_with_its_rows(other: Any, stock: Stock) -> None:
    fresh = connection_to("tmp_fresh", stock)
    assert not database_exists(fresh)
    assert create_database(fresh) is True
    assert create_database(fresh) is False
    execute(fresh, "CREATE TABLE note (id integer)")

    drop_database(fresh)

    assert not database_exists(fresh)
    drop_database(fresh)
    assert owner(other) == OTHER


def test_a_database_that_is_missing_is_made_with_the_schema(one: Any) -> None:
    """The tenants may be on a server, or in a database, of their own."""
    elsewhere = connection_to(ONE, Stocked.stock())
    elsewhere.settings_dict["NAME"] += "_elsewhere"
    assert not database_exists(elsewhere)
    try:
        assert create_database(elsewhere) is True
        assert execute(elsewhere, "SELECT current_schema()") == ONE
    finally:
        elsewhere.close()
        elsewhere.creation._destroy_test_db(elsewhere.settings_dict["NAME"], 0)
    assert owner(one) == ONE


@pytest.mark.filterwarnings("ignore:Normally Django will use a connection to the 'postgres' database:RuntimeWarning")
def test_a_schema_is_made_by_a_role_that_may_not_use_the_servers_own_database(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refuse(connection: BaseDatabaseWrapper) -> Iterator[None]:
        raise OperationalError('permission denied for database "postgres"')
        yield

    monkeypatch.setattr(BaseDatabaseWrapper, "_nodb_cursor", refuse)
    fresh = connection_to("tmp_fresh", stock)
    try:
        assert create_database(fresh) is True
        assert execute(fresh, "SELECT current_schema()") == "tmp_fresh"
    finally:
        drop_database(fresh)


def test_each_schema_has_a_lock_of_its_own(one: Any, other: Any, stock: Stock) -> None:
    with migration_lock(one):
        with (
            pytest.raises(CommandError, match="Another `migrate` is at work"),
            migration_lock(connection_to(ONE, stock)),
        ):
            pass
        with migration_lock(other):
            assert owner(one) == ONE  # the lock needs no session of the stock
    with migration_lock(connection_to(ONE, stock)):
        pass


# Aliases


def test_two_tenants_in_one_thread_keep_to_their_rows(acme: CurrentTenant, globex: CurrentTenant) -> None:
    with tenant_context(acme):
        ProductFactory.create(name="Sencha of acme")
        with tenant_context(globex, switch=True):
            ProductFactory.create(name="Sencha of globex")
            assert [product.name for product in Product.objects.all()] == ["Sencha of globex"]
        [product] = Product.objects.all()
        assert (product.name, product._state.db) == ("Sencha of acme", "tenant_acme")


def test_content_types_are_cached_for_each_tenant(acme: CurrentTenant, globex: CurrentTenant) -> None:
    ContentType.objects.clear_cache()
    ContentType.objects.using("tenant_globex").filter(app_label="catalogue", model="product").delete()
    ContentType.objects.using("tenant_globex").create(pk=4711, app_label="catalogue", model="product")

    with tenant_context(acme):
        assert ContentType.objects.get_for_model(Product).pk != 4711
    with tenant_context(globex, switch=True):
        assert ContentType.objects.get_for_model(Product).pk == 4711
    ContentType.objects.clear_cache()


def test_tenants_sessions_lead_to_one_place_and_never_to_that_of_the_shared_database(
    acme: CurrentTenant, globex: CurrentTenant
) -> None:
    one, other = (connections[tenant.alias] for tenant in (acme, globex))

    assert isinstance(one, Stocked)
    assert isinstance(other, Stocked)
    assert one.place() == other.place()
    assert session_of(one) != session_of(other)
    assert not isinstance(connections["default"], Stocked)
