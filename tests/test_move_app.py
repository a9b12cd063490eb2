"""`move_app` is killed at each of its steps while others write; the next run goes on, nothing is lost or doubled."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import Bootstrapped
from databases import Databases, OnServers, Place, Rows
from killing import Killable, killable_process
from processes import environment
from servers import SECONDS_TO_START, USER

WRITER = Path(__file__).parent / "moving_writer.py"
MOVE = ("move_app", "billing", "--to", "orders_db", "--batch-size", "10")
BEFORE_THE_COPY = ("preparing.tables_present", "preparing.make_tables", "preparing.shed")
BEFORE_THE_BLOCK = ("copying.copy_early", "copying.copy_early", "steps.copy_table", "steps.restore")
AFTER_IT = ("steps.catch_up", "steps.count_on", "steps.leave")
# PostgreSQL tells what is written meanwhile.
BEGINNING_TO_FOLLOW = ("slots.Slot.make", "slots.Slot.mark")
COMPARED = "following.Follower.compare"
SETTLING = ("following.Follower.is_sure_of",)
FOLLOWING = ("following.Follower.copy_rows", "slots.Slot.forget", "following.restore", COMPARED)
TABLES = ("billing_invoice", "billing_payment")
pytestmark = pytest.mark.once
APP_SPLIT = [found for found in COMBINATIONS if found.topology == "app-split"]
on_every_engine = variants(APP_SPLIT)
on_postgresql = variants([found for found in APP_SPLIT if found.database_engine == "postgresql"])
# What fires no trigger that is made as most are.
WAYS_AROUND = (
    "TRUNCATE billing_invoice CASCADE",
    "SET session_replication_role = replica; DELETE FROM billing_payment",
    "SET session_replication_role = replica; TRUNCATE billing_payment",
)


FILL = """
from billing.models import Invoice, Payment
Invoice.objects.bulk_create(Invoice(order_id=number, amount=1) for number in range(100_000, 100_035))
made = Invoice.objects.filter(order_id__gte=100_000)
Payment.objects.bulk_create(Payment(invoice=invoice, amount=1) for invoice in made)
"""
EMPTY = """
from billing.models import Invoice
Invoice.objects.filter(order_id__gte=100_000).delete()
"""


class Shop(Killable):
    """A project with billing in one database, or in two of them during a move."""

    def __init__(self, process: subprocess.Popen[str], project: Path, databases: Databases) -> None:
        super().__init__(process)
        self.project = project
        self.databases = databases
        self.old, self.new = (databases.place_of(name) for name in ("DATABASE_URL", "ORDERS_DATABASE_URL"))

    def rows(self, place: Place) -> dict[str, list[str]]:
        """Of a table that was put aside, its view's."""
        return {table: sorted(map(repr, self.databases.fetch(place, f"SELECT * FROM {table}"))) for table in TABLES}

    def left(self, place: Place) -> list[str]:
        """What a move may leave."""
        return [name for name in self.databases.tables(place) if name.startswith(("billing_", "dbrouting_"))]

    def administrate(self, statements: str, place: Place | None = None) -> list[tuple[Any, ...]]:
        """On the old database, if no other is named, as one who may do all."""
        assert isinstance(self.databases, OnServers)
        return self.databases.cluster.primary.execute(statements, database=(place or self.old).database)

    def wait_for_session(self, condition: str) -> None:
        """Of the old database's, seen in pg_stat_activity."""
        mine = "datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + SECONDS_TO_START
        while not self.administrate(f"SELECT 1 FROM pg_stat_activity WHERE {mine} AND ({condition})"):
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)

    def constraints(self, place: Place) -> list[tuple[Any, ...]]:
        query = "SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname ~ '^billing_'"
        return sorted(self.administrate(query, place))

    def slots(self) -> Rows:
        query = "SELECT slot_name FROM pg_replication_slots WHERE database = %s"
        return self.databases.fetch(self.old, query, self.old.database)

    def kill_after(self, path: str) -> None:
        """The move, once a function has done its work."""
        self.kill("manage", *MOVE, after=f"dbrouting.moving.{path}")

    def kill_again_and_again(self, *words: str, stride: int = 1) -> int:
        """Kill the command before its first statement, the next run ``stride`` later; how often until one ended."""
        kills = 0
        while (answer := self.order("manage", *words, before_statement=kills * stride)) == {"killed": True}:
            kills += 1
        assert "answer" in answer, answer
        return kills


@contextmanager
def shop_of(project: Path, databases: Databases, **changes: str) -> Iterator[Shop]:
    with killable_process(project, **databases.environment, **changes) as process:
        yield Shop(process, project, databases)


@pytest.fixture
def shop(bootstrapped: Bootstrapped, combination: Combination) -> Iterator[Shop]:
    """Each test leaves billing where it was; its rows go."""
    with shop_of(*bootstrapped(combination)) as shop:
        shop.manage("shell", "-c", FILL)
        yield shop
        shop.manage("shell", "-c", EMPTY)


@contextmanager
def writing(shop: Shop) -> Iterator[list[int]]:
    """While it lasts, somebody writes; afterwards the list has what was committed."""
    with subprocess.Popen(
        [sys.executable, WRITER],
        cwd=shop.project,
        env=environment(**shop.databases.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        committed = [int(writer.stdout.readline())]
        yield committed
        committed += map(int, writer.communicate("")[0].split())


def steps_on(engine: str) -> tuple[str, ...]:
    if engine != "postgresql":
        return (*BEFORE_THE_COPY, *BEFORE_THE_BLOCK, "steps.block", "copying.is_same", *AFTER_IT)
    return (*BEFORE_THE_COPY, *BEGINNING_TO_FOLLOW, *BEFORE_THE_BLOCK, *FOLLOWING, "steps.block", *SETTLING, *AFTER_IT)


@on_every_engine
def test_a_move_that_is_killed_at_each_step_loses_and_doubles_nothing_while_others_write(
    shop: Shop, combination: Combination
) -> None:
    with writing(shop) as committed:
        for path in steps_on(combination.database_engine):
            shop.kill_after(path)
        shop.manage(*MOVE)
        finished = shop.rows(shop.old)

    assert shop.rows(shop.old) == shop.rows(shop.new) == finished
    numbers = [row["order_id"] for row in shop.databases.fetch(shop.new, "SELECT order_id FROM billing_invoice")]
    assert sorted(set(numbers)) == sorted(numbers)
    assert set(committed) <= set(numbers)
    assert len(committed) > 1
    assert shop.order("manage", "shell", "-c", FILL).keys() >= {"error"}
    shop.manage("move_app", "billing", "--abort")


@on_every_engine
def test_a_move_that_is_killed_again_and_again_comes_to_each_of_its_ends(shop: Shop) -> None:
    before = shop.rows(shop.old)
    kept = shop.left(shop.old)

    assert shop.kill_again_and_again(*MOVE, stride=3) > 3
    assert shop.rows(shop.old) == shop.rows(shop.new) == before
    assert shop.kill_again_and_again("move_app", "billing", "--abort") > 3
    assert shop.rows(shop.old) == before
    assert (shop.left(shop.old), shop.left(shop.new)) == (kept, [])

    shop.manage(*MOVE)
    with shop_of(shop.project, shop.databases, DATABASE_APPS_MAPPING="billing=orders_db") as switched:
        assert switched.kill_again_and_again("move_app", "billing", "--drop-source", "--no-input") >= 3
        assert switched.rows(shop.new) == before
        assert switched.left(shop.old) == []
        switched.manage("move_app", "billing", "--to", "default")
    shop.manage("move_app", "billing", "--drop-source", "--no-input")
    assert shop.rows(shop.old) == before


@on_postgresql
def test_old_tables_refuse_to_be_truncated_and_sessions_that_switch_triggers_off(shop: Shop) -> None:
    shop.manage(*MOVE)
    before = shop.rows(shop.old)

    for statement in WAYS_AROUND:
        with pytest.raises(psycopg.DatabaseError, match="billing is being moved to another database"):
            shop.databases.cluster.primary.execute(statement, database=shop.old.database)

    assert shop.rows(shop.old) == before
    shop.manage("move_app", "billing", "--abort")


# As many rows come as go: counting them would give the rest away.
TOLD = """
    BEGIN; INSERT INTO billing_invoice (order_id, amount, issued_at) VALUES (100100, 1, now()); COMMIT;
    BEGIN; DELETE FROM billing_payment USING billing_invoice i WHERE invoice_id = i.id AND order_id = 100034;
    DELETE FROM billing_invoice WHERE order_id = 100034; COMMIT;
    BEGIN; CREATE TEMPORARY TABLE more AS SELECT p.* FROM billing_payment p JOIN billing_invoice i ON invoice_id = i.id
    WHERE order_id IN (100020, 100021); UPDATE more SET id = id + 5000;
    INSERT INTO billing_payment SELECT * FROM more; COMMIT;
    BEGIN; UPDATE billing_invoice SET amount = 2 WHERE order_id = 100002; COMMIT;
    BEGIN; DELETE FROM billing_payment USING billing_invoice i WHERE invoice_id = i.id AND order_id = 100006; COMMIT;
    BEGIN; UPDATE billing_payment SET id = -id WHERE id IN (SELECT max(id) FROM billing_payment); COMMIT;
    BEGIN; UPDATE billing_payment p SET id = p.id + 1000000 FROM billing_invoice i
    WHERE invoice_id = i.id AND order_id IN (100014, 100026); UPDATE billing_payment SET id =
    (SELECT sum(id) FROM billing_payment WHERE id > 1000000) - id - 1000000 WHERE id > 1000000; COMMIT;
    BEGIN; SET LOCAL session_replication_role = replica;
    UPDATE billing_invoice SET amount = 3 WHERE order_id = 100010; COMMIT;
    BEGIN; UPDATE billing_invoice SET amount = 4 WHERE order_id = 100014; SAVEPOINT s;
    DELETE FROM billing_payment; ROLLBACK TO SAVEPOINT s; UPDATE billing_invoice SET amount = 5 WHERE order_id = 100018;
    COMMIT;
    BEGIN; DELETE FROM billing_payment; ROLLBACK;
    BEGIN; SET LOCAL synchronous_commit = off; UPDATE billing_invoice SET amount = 6 WHERE order_id = 100022; COMMIT
"""
TRUNCATED = """
    BEGIN; CREATE TEMPORARY TABLE kept AS TABLE billing_payment; TRUNCATE billing_payment;
    INSERT INTO billing_payment SELECT * FROM kept; COMMIT; BEGIN; UPDATE billing_payment SET amount = 9; COMMIT
"""
WRITTEN_ANEW = "ALTER TABLE billing_invoice ALTER COLUMN amount TYPE numeric(10, 2) USING amount + 10"
GONE = """
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database();
    UPDATE billing_invoice SET amount = 11
"""
OBSTACLES = {
    "ALTER TABLE billing_payment REPLICA IDENTITY NOTHING": "ALTER TABLE billing_payment REPLICA IDENTITY DEFAULT",
    "ALTER TABLE billing_payment SET UNLOGGED": "ALTER TABLE billing_payment SET LOGGED",
}
OF_A_SERVICE = """CREATE FUNCTION public.pg_create_logical_replication_slot(name, name)
    RETURNS TABLE (slot_name name, lsn pg_lsn) LANGUAGE sql SECURITY DEFINER AS
    'SELECT * FROM pg_catalog.pg_create_logical_replication_slot($1, $2)'"""
WHO_GOES_ON = """
from django.db import connection
from dbrouting.moving.slots import prepared
print(prepared(connection))
"""
TOO_MANY = 1_000_000


@on_postgresql
@pytest.mark.parametrize("writes", [TOLD, TRUNCATED, WRITTEN_ANEW, GONE], ids=["told", "truncated", "anew", "gone"])
def test_whatever_is_written_after_the_comparison_arrives(shop: Shop, writes: str) -> None:
    """What nobody is told of isn't compared again: ranges are so small that no other write gives one away."""
    shop.kill("manage", *MOVE[:-1], "4", after=f"dbrouting.moving.{COMPARED}")
    shop.administrate(writes)
    finished = shop.rows(shop.old)

    shop.manage(*MOVE)

    assert shop.rows(shop.new) == shop.rows(shop.old) == finished
    assert shop.constraints(shop.new) == shop.constraints(shop.old) != []
    shop.manage("move_app", "billing", "--abort")
    assert shop.slots() == []


@on_postgresql
def test_what_is_prepared_arrives_whenever_it_is_committed(shop: Shop) -> None:
    """Before the slot is there, while rows are copied, and while writes are about to be refused."""
    small = (*MOVE[:-1], "4")
    prepare(shop, "before", order=100_001)
    with ThreadPoolExecutor() as beside:
        killed = beside.submit(shop.kill, "manage", *small, after="dbrouting.moving.copying.copy_early")
        shop.wait_for_session("query LIKE 'SELECT pg_create_logical%' AND wait_event_type = 'Lock'")
        shop.administrate("COMMIT PREPARED 'before'")
        killed.result()
        prepare(shop, "while copying", order=100_017)
        shop.kill("manage", *small, after=f"dbrouting.moving.{COMPARED}")
        shop.administrate("COMMIT PREPARED 'while copying'")
        prepare(shop, "at the end", order=100_033)
        told = shop.done("manage", "shell", "-c", WHO_GOES_ON)["output"]
        moved = beside.submit(shop.manage, *small)
        shop.wait_for_session("query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock'")
        shop.administrate("COMMIT PREPARED 'at the end'")
        moved.result()

    assert f"'at the end' in the database '{shop.old.database}'" in told
    assert shop.rows(shop.new) == shop.rows(shop.old)
    assert len(shop.databases.fetch(shop.new, "SELECT 1 FROM billing_invoice WHERE amount = 14")) == 3
    shop.manage("move_app", "billing", "--abort")


def prepare(shop: Shop, name: str, *, order: int) -> None:
    """No session has the transaction any more."""
    shop.administrate(
        f"BEGIN; UPDATE billing_invoice SET amount = 14 WHERE order_id = {order}; PREPARE TRANSACTION '{name}'"
    )


@on_postgresql
def test_what_is_committed_and_waits_for_a_standby_arrives_too(shop: Shop) -> None:
    """The log tells of it before anybody sees it: what is copied then is the row as it was."""
    shop.kill_after(COMPARED)
    shop.administrate(f"ALTER ROLE {USER} SET synchronous_commit = local")  # the move itself doesn't wait
    with ThreadPoolExecutor() as beside, no_standby_confirming(shop) as nobody_confirms:
        written = beside.submit(shop.administrate, "UPDATE billing_invoice SET amount = 13 WHERE order_id = 100013")
        shop.wait_for_session("wait_event = 'SyncRep'")
        moved = beside.submit(shop.manage, *MOVE)
        shop.wait_for_session("query LIKE 'SELECT pg_current_snapshot()%' OR query LIKE 'LOCK TABLE%'")
        nobody_confirms.close()
        written.result()
        moved.result()
    shop.administrate(f"ALTER ROLE {USER} RESET synchronous_commit")

    assert shop.rows(shop.new) == shop.rows(shop.old)
    shop.manage("move_app", "billing", "--abort")


@contextmanager
def no_standby_confirming(shop: Shop) -> Iterator[ExitStack]:
    """Until the block or what it gives is closed, commits on the old server wait for a standby that isn't there."""
    with ExitStack() as stack:
        for statement in ("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"):
            shop.administrate(statement)
        stack.callback(shop.administrate, "SELECT pg_reload_conf()")
        stack.callback(shop.administrate, "ALTER SYSTEM RESET synchronous_standby_names")
        yield stack


@on_postgresql
def test_after_the_block_no_range_is_read_again_whose_written_rows_are_the_same(shop: Shop) -> None:
    """What these add up to is known all the same, as giving up makes sure."""
    shop.kill_after(COMPARED)
    shop.administrate(TOLD)
    add_to_digests(shop, TOO_MANY)

    shop.manage(*MOVE)

    lines = shop.databases.fetch(shop.new, "SELECT content FROM dbrouting_moves WHERE kind = 'range'")
    digests = [json.loads(line["content"])["digest"] for line in lines]
    assert len(digests) >= 8
    assert [digest for digest in digests if int(digest.split()[0]) < TOO_MANY] == []
    assert shop.rows(shop.new) == shop.rows(shop.old)
    add_to_digests(shop, -TOO_MANY)
    shop.manage("move_app", "billing", "--abort")


def add_to_digests(shop: Shop, rows: int) -> None:
    """Let the ledger have it that each range had so many rows more: reading one again would say how many it has."""
    digest = "content::jsonb ->> 'digest'"
    forged = f"split_part({digest}, ' ', 1)::bigint + {rows} || ' ' || split_part({digest}, ' ', 2)"
    content = f"jsonb_set(content::jsonb, '{{digest}}', to_jsonb({forged}))::text"
    shop.administrate(f"UPDATE dbrouting_moves SET content = {content} WHERE kind = 'range'", shop.new)


@on_postgresql
def test_what_cannot_be_followed_is_said_and_moved_all_the_same(shop: Shop) -> None:
    before = shop.rows(shop.old)
    said = []
    for obstacle, remedy in OBSTACLES.items():
        shop.administrate(obstacle)
        said.append(shop.done("manage", *MOVE, "--dry-run")["output"])
        shop.administrate(remedy)
    with managed_role(shop):
        told = shop.done("manage", *MOVE)["output"]

    assert "the log doesn't tell the keys of billing_payment" in said[0]
    assert "billing_payment is unlogged, partitioned or inherited" in said[1]
    assert told.count(f'ALTER ROLE "{USER}" REPLICATION') == 2  # in the plan, and by the run
    assert shop.rows(shop.new) == shop.rows(shop.old) == before
    shop.manage("move_app", "billing", "--abort")


@on_postgresql
def test_whether_slots_may_be_made_the_server_is_asked(shop: Shop) -> None:
    """As where a service of a cloud has made the functions its own."""
    with managed_role(shop):
        shop.administrate(f"{OF_A_SERVICE}; ALTER ROLE {USER} SET search_path = public, pg_catalog")
        planned = shop.done("manage", *MOVE, "--dry-run")["output"]
        shop.administrate(
            f"ALTER ROLE {USER} RESET search_path; DROP FUNCTION public.pg_create_logical_replication_slot"
        )

    assert "Writes will be refused for seconds, however many rows there are" in planned
    assert shop.slots() == []


@contextmanager
def managed_role(shop: Shop) -> Iterator[None]:
    """The user has no right but by a role, which is worth nothing on a server that doesn't know it."""
    shop.administrate(f"ALTER ROLE {USER} NOREPLICATION; CREATE ROLE rds_replication ROLE {USER}")
    try:
        yield
    finally:
        shop.administrate(f"DROP ROLE rds_replication; ALTER ROLE {USER} REPLICATION")
