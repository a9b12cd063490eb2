"""Statements that write are told from those that only read."""

import pytest

from dbrouting.writes import is_call, writes

READS = [
    "SELECT 1",
    "  select * from catalogue_product",
    "(SELECT 1) UNION (SELECT 2)",
    "/* app='shop' */ SELECT 1",
    "-- a comment\nSELECT 1",
    "SELECT 1;",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT 'insert into' FROM a",
    'SELECT "into" FROM a',
    "SELECT ';DELETE FROM a'",
    "SELECT count(*) INTO @total FROM a",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "WITH a AS (SELECT 1) SELECT * FROM a FOR NO KEY UPDATE",
    "WITH a AS (SELECT 'delete from b') SELECT replace(x, 'a', 'b') FROM a",
    'WITH a AS (SELECT "update", "delete" FROM b) SELECT * FROM a',
    "EXPLAIN SELECT 1",
    "EXPLAIN UPDATE a SET b = 1",
    "EXPLAIN ANALYZE SELECT 1",
    "PRAGMA foreign_key_check",
    "SHOW transaction_read_only",
    "SET SESSION TRANSACTION READ ONLY",
    "BEGIN IMMEDIATE",
    "SAVEPOINT s1",
    "RELEASE SAVEPOINT s1",
    "ROLLBACK TO SAVEPOINT s1",
    "COMMIT",
    "VALUES (1)",
    "",
    " ",
]
WRITES = [
    "INSERT INTO a VALUES (1)",
    "insert into a values (1)",
    "/* app='shop' */ UPDATE a SET b = 1",
    "-- SELECT\nDELETE FROM a",
    "REPLACE INTO a VALUES (1)",
    "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE a",
    "CREATE TABLE a (b int)",
    "COPY a FROM STDIN",
    "CALL refill()",
    "WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a",
    "WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a",
    "with a as (select 1) update b set c = 1",
    "WITH a AS (SELECT 1 FOR UPDATE) UPDATE b SET c = 1",
    "EXPLAIN ANALYZE INSERT INTO a VALUES (1)",
    "EXPLAIN (ANALYZE, BUFFERS) DELETE FROM a",
    "SELECT 1; DELETE FROM a",
    "SELECT * INTO copy_of_a FROM a",
    "/*!40000 ALTER TABLE a DISABLE KEYS */",
]


class Composed:
    """Like psycopg's."""

    def as_string(self, context: object) -> str:
        return "DELETE FROM a"


@pytest.mark.parametrize("sql", READS)
def test_reading_is_no_write(sql: str) -> None:
    assert not writes(sql)


@pytest.mark.parametrize("sql", [*WRITES, b"DELETE FROM a", Composed()])
def test_writing_is_noticed(sql: object) -> None:
    assert writes(sql)


def test_a_long_statement_is_judged_in_no_time() -> None:
    assert writes("WITH a AS (SELECT 1) " + "-- comment\n" * 20_000 + "DELETE FROM a")
    assert not writes("(" * 20_000 + "SELECT 1")
    assert writes("-" * 20_000)


def test_calls_are_known_as_such() -> None:
    assert is_call("CALL refill()")
    assert not is_call("DELETE FROM a")
