"""What each level of PostgreSQL's synchronous_commit costs a writer, and what it saves a reader of the standby.

Run it as `python bench/synchronous_commit.py` in the environment of the tests. It starts a primary and a standby of its
own, which flush to disk and are on one machine: between two, all but the first two levels cost a round trip more. The
levels take turns, and a figure is a median, so that only the ratios mean something.
"""

import statistics
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers import ADMIN, PostgreSQL, Standby, kept_folder, postgresql_binaries

LEVELS = ("off", "local", "remote_write", "on", "remote_apply")
TURNS, COMMITS = 10, 50
# The servers of the tests don't flush.
DURABLE = {"fsync": "on", "full_page_writes": "on"}


class DurablePostgreSQL(PostgreSQL):
    def settings(self) -> dict[str, object]:
        return {**super().settings(), **DURABLE}


class DurableStandby(Standby):
    def settings(self) -> dict[str, object]:
        return {**super().settings(), **DURABLE}


def session(server: PostgreSQL) -> psycopg.Connection:
    return psycopg.connect(
        host=str(server.keeper.folder), port=server.port, user=ADMIN, dbname="postgres", autocommit=True
    )


def measure(primary: PostgreSQL, standby: Standby) -> tuple[dict[str, list[float]], Counter[str]]:
    """The seconds of each commit, and how many of them a read right afterwards missed."""
    seconds, missed = defaultdict(list), Counter()
    with session(primary) as writer, session(standby) as reader:
        for number, level in enumerate(level for _ in range(TURNS) for level in LEVELS for _ in range(COMMITS)):
            if number % COMMITS == 0:
                standby.catch_up()
                writer.execute(f"SET synchronous_commit = {level}")
            start = time.perf_counter()
            writer.execute("INSERT INTO written VALUES (%s)", [number])
            seconds[level].append(time.perf_counter() - start)
            if not reader.execute("SELECT FROM written WHERE number = %s", [number]).fetchall():
                missed[level] += 1
    return seconds, missed


def main() -> None:
    with kept_folder() as keeper:
        primary = DurablePostgreSQL(keeper, "primary", postgresql_binaries())
        standby = DurableStandby(primary, "standby")
        for server in (primary, standby):
            server.create()
        primary.execute("CREATE TABLE written (number int PRIMARY KEY)")
        standby.catch_up()
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")  # with nobody to wait for all are alike
        primary.execute("SELECT pg_reload_conf()")
        seconds, missed = measure(primary, standby)
    medians = {level: statistics.median(seconds[level]) for level in LEVELS}
    print(f"{'level':<14}{'commit':>10}{'x off':>8}{'missed of ' + str(TURNS * COMMITS):>16}")
    for level in LEVELS:
        times = medians[level] / medians["off"]
        print(f"{level:<14}{medians[level] * 1000:>7.2f} ms{times:>8.1f}{missed[level]:>16}")


main()
