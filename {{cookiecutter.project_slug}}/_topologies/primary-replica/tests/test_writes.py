"""Statements that write are told from those that only read."""

import pytest

from dbrouting.writes import is_write, may_write

READS = [
    "SELECT 1",
    "  select * from catalogue_product",
    "(SELECT 1) UNION (SELECT 2)",
    "/* app='shop' */ SELECT 1",
    "-- a comment\nSELECT 1",
    "SELECT 1;",
    "SELECT 1; -- done",
    "-- all\nSELECT 1;",
    "/* app='shop'; page='list' */ SELECT 1",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT count(*) INTO @total FROM a",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "WITH a AS (SELECT 1) SELECT * FROM a FOR NO KEY UPDATE",
    "EXPLAIN SELECT 1",
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
# Words that would write if they were not in a literal, a function's name, or explained only.
PERHAPS = [
    "SELECT ';DELETE FROM a'",
    "SELECT 'one into two'",
    "WITH a AS (SELECT 1) SELECT replace(x, 'a', 'b') FROM a",
    "EXPLAIN UPDATE a SET b = 1",
    "SELECT 1; DELETE FROM a",
    "SELECT 'x\\'y'; DELETE FROM a",
    "WITH a AS (SELECT 'x\\'y') DELETE FROM b WHERE c = 'z'",
    "WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a",
    "WITH a AS (SELECT 1) SELECT * INTO b FROM a",
    "EXPLAIN ANALYZE INSERT INTO a VALUES (1)",
    "EXPLAIN (ANALYZE, BUFFERS) DELETE FROM a",
    "EXPLAIN ANALYZE CREATE TABLE a AS SELECT 1",
    "BEGIN NOT ATOMIC UPDATE a SET b = 1; END",
    "SELECT * INTO copy_of_a FROM a",
    "CALL refill()",
    "WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a",
    "with a as (select 1) update b set c = 1",
    "WITH a AS (SELECT 1 FOR UPDATE) UPDATE b SET c = 1",
    "/*!40000 ALTER TABLE a DISABLE KEYS */",
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
]


class Composed:
    """Like psycopg's."""

    def as_string(self, context: object) -> str:
        return "DELETE FROM a"


@pytest.mark.parametrize("sql", READS)
def test_reading_is_no_write(sql: str) -> None:
    assert not may_write(sql)
    assert not is_write(sql)


@pytest.mark.parametrize("sql", [*WRITES, b"DELETE FROM a", Composed()])
def test_writing_is_a_write(sql: object) -> None:
    assert may_write(sql)
    assert is_write(sql)


@pytest.mark.parametrize("sql", PERHAPS)
def test_what_may_write_pins_and_is_left_to_the_replica_to_refuse(sql: str) -> None:
    assert may_write(sql)
    assert not is_write(sql)


def test_a_long_statement_is_judged_in_no_time() -> None:
    assert may_write("WITH a AS (SELECT 1) " + "-- comment\n" * 20_000 + "DELETE FROM a")
    assert not may_write("(" * 20_000 + "SELECT 1")
    assert may_write("-" * 20_000)
