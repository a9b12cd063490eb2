"""Behind PgBouncer each transaction may get another session: no statement runs without its tenant's schema.

These sessions begin in ``public``, as PgBouncer's do, and nothing is in between: what a statement without a path would
find are the rows of the shared table.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, NotSupportedError, ProgrammingError, connections
from psycopg import ClientCursor, IsolationLevel, sql

from dbrouting.schemas.provisioning import outside_schemas
from dbrouting.schemas.transactions import refuse_what_outlasts_its_transaction
from dbrouting.tenant_backend.stock import Stock

pytestmark = pytest.mark.django_db
SCHEMA = "tmp_pooled"


@pytest.fixture(autouse=True)
def _a_schema_and_a_shared_table() -> Iterator[None]:
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        for schema in (SCHEMA, "public"):
            cursor.execute(f"CREATE TABLE {schema}.note AS SELECT '{schema}' AS owner FROM generate_series(1, 3)")
    yield
    with outside_schemas(connections["tenant_acme"]) as cursor:
        cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE; DROP TABLE public.note")


@pytest.fixture
def tenant() -> Iterator[Any]:
    connection = connection_to(SCHEMA)
    yield connection
    connection.close()
    connection.close_pool()


def connection_to(schema: str, **options: Any) -> Any:
    connection: Any = connections["tenant_acme"].copy(alias=schema)
    connection.settings_dict.update(SCHEMA=schema, PGBOUNCER=True, DISABLE_SERVER_SIDE_CURSORS=True)
    connection.settings_dict["OPTIONS"].update(options)
    stock = Stock(1, patience=2)
    connection.stock = lambda: stock
    return connection


def owner(connection: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT owner FROM note LIMIT 1")
        return cursor.fetchone()[0]


def run(connection: Any, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def path_left_in(session: Any) -> Any:
    """What the next client of this session would begin with."""
    row = ClientCursor(session).execute("SHOW search_path").fetchone()
    return row and row[0]


def without_autocommit(tenant: Any) -> None:
    tenant.set_autocommit(False)
    for end in (tenant.commit, tenant.rollback):
        assert owner(tenant) == owner(tenant) == SCHEMA
        end()
    assert owner(tenant) == SCHEMA
    tenant.rollback()
    tenant.set_autocommit(True)


def back_to_a_savepoint(tenant: Any) -> None:
    tenant.set_autocommit(False)
    savepoint = tenant.savepoint()
    with suppress(DatabaseError):
        run(tenant, "SELECT 1 / 0")
    tenant.savepoint_rollback(savepoint)
    assert owner(tenant) == SCHEMA
    tenant.rollback()
    tenant.set_autocommit(True)


def begun_in_sql(tenant: Any) -> None:
    run(tenant, "BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert owner(tenant) == SCHEMA
    run(tenant, "COMMIT AND CHAIN")
    assert owner(tenant) == SCHEMA
    run(tenant, "ROLLBACK")


def begun_by_the_driver(tenant: Any) -> None:
    tenant.ensure_connection()
    with tenant.connection.transaction():
        assert owner(tenant) == SCHEMA


def many_at_once(tenant: Any) -> None:
    with tenant.cursor() as cursor:
        cursor.executemany("UPDATE note SET owner = %s WHERE owner = %s", [(SCHEMA, SCHEMA), (SCHEMA, "public")])


def copied(tenant: Any) -> None:
    with tenant.cursor() as cursor, cursor.copy("COPY note TO STDOUT") as rows:
        assert {owner for (owner,) in rows.rows()} == {SCHEMA}


def streamed(tenant: Any) -> None:
    with tenant.cursor() as cursor:
        assert {owner for (owner,) in cursor.stream("SELECT owner FROM note")} == {SCHEMA}


def many_at_once_that_fail(tenant: Any) -> None:
    with pytest.raises(DatabaseError), tenant.cursor() as cursor:
        cursor.executemany("SELECT 1 / %s", [(1,), (0,)])


def in_other_words(tenant: Any) -> None:
    with tenant.cursor() as cursor:
        for query in (b"SELECT owner FROM note", sql.SQL("SELECT owner FROM {}").format(sql.Identifier("note"))):
            cursor.execute(query)
            assert cursor.fetchone() == (SCHEMA,)


@pytest.mark.parametrize(
    "event",
    [
        *(without_autocommit, back_to_a_savepoint, begun_in_sql, begun_by_the_driver),
        *(many_at_once, many_at_once_that_fail, copied, streamed, in_other_words),
    ],
)
def test_every_statement_is_in_the_tenants_schema_and_leaves_no_path_behind(
    tenant: Any, event: Callable[[Any], None]
) -> None:
    for _ in range(2):
        event(tenant)
        assert owner(tenant) == SCHEMA

    assert path_left_in(tenant.connection) == '"$user", public'
    with outside_schemas(tenant) as cursor:
        cursor.execute("SELECT count(*) FROM public.note WHERE owner = 'public'")
        assert cursor.fetchone() == (3,)


def test_a_transaction_begins_at_the_level_that_the_options_say() -> None:
    tenant = connection_to(SCHEMA, isolation_level=IsolationLevel.SERIALIZABLE)
    try:
        tenant.set_autocommit(False)
        with tenant.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("serializable",)
        tenant.rollback()
    finally:
        tenant.close()
        tenant.close_pool()


def test_autocommit_does_not_come_back_inside_a_transaction(tenant: Any) -> None:
    tenant.set_autocommit(False)
    owner(tenant)

    with pytest.raises(ProgrammingError, match="INTRANS"):
        tenant.set_autocommit(True)
    tenant.rollback()


def test_a_temporary_table_that_another_one_left_hides_no_table(tenant: Any) -> None:
    run(tenant, "CREATE TEMPORARY TABLE note AS SELECT 'another' AS owner")

    assert owner(tenant) == SCHEMA


def test_what_several_statements_in_one_text_find_can_be_read(tenant: Any) -> None:
    with tenant.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT owner FROM note")
        assert cursor.fetchone() == (1,)
        assert cursor.nextset()
        assert cursor.fetchone() == (SCHEMA,)


def test_no_table_is_made_where_the_schema_is_missing() -> None:
    nobody = connection_to("tmp_nobody")
    try:
        with pytest.raises(ProgrammingError, match="permission denied"):
            run(nobody, "CREATE TABLE note (id integer)")
        with pytest.raises(ProgrammingError, match='relation "note" does not exist'):
            owner(nobody)
    finally:
        nobody.close()
        nobody.close_pool()


def test_a_cursor_on_the_server_is_refused(tenant: Any) -> None:
    tenant.ensure_connection()

    with pytest.raises(Exception, match="no cursors on the server"):
        tenant.connection.cursor("named")


def test_parameters_that_the_server_binds_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="server_side_binding"):
        owner(connection_to(SCHEMA, server_side_binding=True))


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT; SELECT owner FROM note",
        "SELECT 1; rollback work ; SELECT owner FROM note",
        "/* first */ END; -- then\nSELECT owner FROM note",
        b"ABORT; SELECT 1",
        "PREPARE TRANSACTION 'x'; SELECT 1",
        r"SELECT E'it\'s'; COMMIT; SELECT ' '",
        "/* outer /* inner */ ' */ COMMIT; SELECT ' '",
        "/*/*/*/*/*/* ' */*/*/*/*/*/ COMMIT; SELECT ' '",
        "SELECT 1 AS one$$; COMMIT; SELECT 2 AS two$$",
        "SELECT 1 --\r; COMMIT; SELECT 2",
    ],
)
def test_a_text_that_ends_the_transaction_before_its_own_end_is_refused(tenant: Any, text: str) -> None:
    with pytest.raises(NotSupportedError, match="one statement at a time"):
        run(tenant, text)


@pytest.mark.parametrize(
    "text", ["SET search_path TO public", "SELECT 1; set role nobody", b"/* so */ SET SESSION CHARACTERISTICS AS x"]
)
def test_a_setting_that_the_next_client_would_have_is_refused(tenant: Any, text: str) -> None:
    with pytest.raises(NotSupportedError, match="SET LOCAL"):
        run(tenant, text)


@pytest.mark.parametrize(
    "text", ["SET LOCAL work_mem = '4MB'", "SET CONSTRAINTS ALL IMMEDIATE", "UPDATE note SET owner = owner"]
)
def test_a_setting_of_the_transaction_is_not(tenant: Any, text: str) -> None:
    run(tenant, text)


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT;",
        "SAVEPOINT a; ROLLBACK TO a; SELECT 1",
        "ROLLBACK TRANSACTION TO SAVEPOINT a; SELECT 1",
        "SELECT '; commit; ', \"; end; \" -- ; commit;\n; SELECT 1",
        "CREATE FUNCTION f() RETURNS void AS $body$ BEGIN PERFORM 1; END; $body$ LANGUAGE plpgsql; SELECT 1",
        "SELECT CASE WHEN true THEN 1 END; SELECT 2",
        r"SELECT E'\'; COMMIT; ', e'\\'; SELECT 1 /* ; COMMIT; /* inner */ ; COMMIT; */",
    ],
)
def test_a_text_that_does_not_is_executed(text: str) -> None:
    refuse_what_outlasts_its_transaction(text)
