"""For how long `move_app` refuses writes to a table of a million rows, with and without a replication slot.

    uv run python bench/moving_window.py               # in some minutes, in the environment of the tests
    uv run python bench/moving_window.py --rows 20000  # whether it works

The table is that of moving.py. While it is moved, somebody changes rows of it and adds some. The ways take turns on one
throwaway server, and a figure is the median of its turns. The exit code is 1 if a slot doesn't make the window smaller.
"""

import argparse
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread

import psycopg
from moving import Bench, Seconds

TEMPLATE = Path(__file__).parent.parent
sys.path.insert(0, str(TEMPLATE / "tests"))
from servers import USER, PostgreSQL, kept_folder, postgresql_binaries  # noqa: E402  found by the line before

CHANGE = "UPDATE ledger_entry SET amount = amount + 1 WHERE id = %s"
ADD = """INSERT INTO ledger_entry (invoice_id, customer_id, title, amount, entered_at, data)
    SELECT invoice_id, customer_id, title, amount, entered_at, data FROM ledger_entry WHERE id = %s"""
RECENT = 5_000  # most changes are to rows like these
PAUSE = 0.01
TURNS = 3


@contextmanager
def writing(server: PostgreSQL) -> Iterator[None]:
    """About a hundred writes a second, until the block ends; those that are refused are lost."""
    is_over = Event()

    def write() -> None:
        with psycopg.connect(server.url("old"), autocommit=True) as connection:
            [last] = connection.execute("SELECT max(id) FROM ledger_entry").fetchone()
            for number in count():
                with suppress(psycopg.Error):
                    connection.execute(ADD if number % 2 else CHANGE, [last - number % RECENT])
                if is_over.wait(PAUSE):
                    return

    writer = Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        is_over.set()
        writer.join()


def window(bench: Bench, *, with_slot: bool) -> Seconds:
    bench.server.execute(f"ALTER ROLE {USER} {'' if with_slot else 'NO'}REPLICATION")
    with writing(bench.server):
        told = bench.manage("move_app", "ledger", "--to", "orders_db")
    bench.manage("move_app", "ledger", "--to", "orders_db", "--abort")
    return float(re.search(r"refused for ([\d.]+) s", told)[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder, kept_folder() as keeper:
        server = PostgreSQL(keeper, "primary", postgresql_binaries())
        server.create()
        bench = Bench(Path(folder), server)
        bench.fill(rows)
        turns = [(window(bench, with_slot=True), window(bench, with_slot=False)) for _ in range(TURNS)]
    followed, compared = (statistics.median(way) for way in zip(*turns, strict=True))
    print(f"seconds without writes, {rows:,} rows: {followed:.1f} with a slot, {compared:.1f} without")
    return int(followed >= compared)


if __name__ == "__main__":
    sys.exit(main())
