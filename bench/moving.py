"""What moving a table of a million rows takes, PostgreSQL to PostgreSQL, beside what people use instead.

    uv run python bench/moving.py               # in some minutes, in the environment of the tests
    uv run python bench/moving.py --rows 20000  # whether it works

The table has a bigint key, two references, a varchar, a numeric, a timestamp and JSON, with rows as in a shop's books:
references in no order, words that repeat, an identifier that somebody else gave. `pg_dump -Fc` compresses them unless
it is told otherwise, which takes longer than anything else; what it does without is shown too. `move_app` verifies
what it has moved, the others don't. `dumpdata | loaddata` moves a part of the rows, and is reckoned for all.

The ways take turns on one throwaway server, and a figure is the median of its turns, so that only the ratios mean
something. The exit code is the number of aims that were missed.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
sys.path.insert(0, str(TEMPLATE / "tests"))
from servers import PostgreSQL, kept_folder, postgresql_binaries  # noqa: E402  found by the line before

MODELS = """
from django.db import models

class Entry(models.Model):
    invoice_id = models.BigIntegerField(db_index=True)
    customer_id = models.BigIntegerField(db_index=True)
    title = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    entered_at = models.DateTimeField()
    data = models.JSONField()
"""
WORD = "left(md5((random() * 2000)::integer::text), 6)"
FILL = f"""INSERT INTO ledger_entry (invoice_id, customer_id, title, amount, entered_at, data)
    SELECT 1 + random() * 90000, 1 + random() * 7000, {WORD} || ' ' || {WORD} || ' ' || {WORD} || ' ' || n,
        random() * 1000, timestamptz '2026-01-01' + n * interval '1 second' + random() * interval '1 second',
        jsonb_build_object(
            'reference', gen_random_uuid(), 'tags', jsonb_build_array({WORD}, {WORD}), 'note', {WORD} || ' ' || {WORD}
        )
    FROM generate_series(1, {{rows}}) AS n"""
# Of so many rows, because it keeps them all in memory.
ROWS_BY_FIXTURE = 20_000
TURNS = 3
Seconds = float


class Bench:
    """A project with a table in one database, and an empty one beside it."""

    def __init__(self, folder: Path, server: PostgreSQL) -> None:
        self.server = server
        answers = {"project_slug": "bench", "topology": "app-split", "database_engine": "postgresql"}
        self.project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers))
        app = self.project / "ledger"
        app.mkdir()
        (app / "__init__.py").touch()
        (app / "models.py").write_text(MODELS)
        databases = self.project / "config" / "databases.py"
        databases.write_text(databases.read_text().replace("DATABASE_APPS = [", 'DATABASE_APPS = ["ledger", '))
        names = {"DATABASE_URL": "old", "ORDERS_DATABASE_URL": "new", "AUTH_DATABASE_URL": "auth"}
        self.urls = {variable: server.url(name) for variable, name in names.items()}
        self.manage("makemigrations", "ledger", "--verbosity=0")
        self.manage("bootstrap", "--no-demo", "--verbosity=0")

    def manage(self, *words: str, **variables: str) -> str:
        own = {"PYTHONDONTWRITEBYTECODE": "", "DATABASE_ADMIN_URL": self.server.admin_url}  # or each compiles Django
        environment = {**os.environ, **own, **self.urls, **variables}
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=self.project, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def fill(self, rows: int) -> None:
        self.server.execute("TRUNCATE ledger_entry", database="old")
        self.server.execute(FILL.format(rows=rows), database="old")
        self.server.execute("ANALYZE ledger_entry", database="old")

    def by_move_app(self) -> Seconds:
        seconds = timed(lambda: self.manage("move_app", "ledger", "--to", "orders_db"))
        self.manage("move_app", "ledger", "--to", "orders_db", "--abort")
        return seconds

    def by_dump_and_restore(self, *options: str) -> Seconds:
        seconds = timed(lambda: self.dump_and_restore(*options))
        self.server.execute("DROP TABLE ledger_entry", database="new")
        return seconds

    def dump_and_restore(self, *options: str) -> None:
        programs, url = self.server.binaries, self.server.url
        dump = f"{programs}/pg_dump -Fc --table=ledger_entry {' '.join(options)} {url('old')}"
        shell(f"{dump} | {programs}/pg_restore --no-owner --dbname={url('new')}")

    def by_fixture(self) -> Seconds:
        self.dump_and_restore("--schema-only")
        path = self.project / "rows.json"
        seconds = timed(lambda: self.manage("dumpdata", "ledger", f"--output={path}", "--database=default"))
        new = {"DATABASE_APPS_MAPPING": "ledger=orders_db"}
        return seconds + timed(lambda: self.manage("loaddata", str(path), "--database=orders_db", **new))


def timed(act: Callable[[], object]) -> Seconds:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def shell(command: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder, kept_folder() as keeper:
        server = PostgreSQL(keeper, "primary", postgresql_binaries())
        server.create()
        bench = Bench(Path(folder), server)
        bench.fill(rows)
        turns = [
            (bench.by_move_app(), bench.by_dump_and_restore(), bench.by_dump_and_restore("--compress=0"))
            for _ in range(TURNS)
        ]
        moved, dumped, plain = (rows / statistics.median(way) for way in zip(*turns, strict=True))
        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        few = min(rows, ROWS_BY_FIXTURE)
        bench.fill(few)
        loaded = few / bench.by_fixture()
    print(
        f"rows a second: move_app {moved:,.0f}, pg_dump | pg_restore {dumped:,.0f} (uncompressed {plain:,.0f}, "
        f"move_app {moved / plain:.2f} of it), dumpdata | loaddata {loaded:,.0f}"
    )
    aims = [
        ("move_app, of pg_dump | pg_restore", moved / dumped, 1.5, True),
        ("move_app, of dumpdata | loaddata", moved / loaded, 50, True),
        ("megabytes of the largest process", megabytes, 100, False),
    ]
    missed = 0
    for what, found, bound, at_least in aims:
        is_met = found >= bound if at_least else found <= bound
        missed += not is_met
        print(f"{what:>36}: {found:7.2f} {'>=' if at_least else '<='} {bound}  {'met' if is_met else 'MISSED'}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
