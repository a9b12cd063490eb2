"""`move_app` is killed at each of its steps while others write; the next run goes on, nothing is lost or doubled."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import Bootstrapped
from databases import Databases, Place
from killing import Killable, killable_process
from processes import environment

WRITER = Path(__file__).parent / "moving_writer.py"
MOVE = ("move_app", "billing", "--to", "orders_db", "--batch-size", "10")
BEFORE_THE_BLOCK = (
    "preparing.tables_present",
    "preparing.make_tables",
    "preparing.shed",
    "copying.copy_early",
    "copying.copy_early",
    "steps.copy_table",
    "steps.restore",
)
AFTER_IT = ("steps.block", "copying.is_same", "steps.catch_up", "steps.count_on")
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


@on_every_engine
def test_a_move_that_is_killed_at_each_step_loses_and_doubles_nothing_while_others_write(shop: Shop) -> None:
    with writing(shop) as committed:
        for path in (*BEFORE_THE_BLOCK, *AFTER_IT):
            shop.kill("manage", *MOVE, after=f"dbrouting.moving.{path}")
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
