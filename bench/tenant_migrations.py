# /// script
# requires-python = ">=3.12"
# dependencies = [
#   "cookiecutter", "django>=5.2,<5.3", "django-dynamic-db-router==0.3.0", "django-environ", "factory-boy",
#   "psycopg[binary,pool]>=3.2", "pymysql", "pytest", "tqdm",
# ]
# ///
"""What migrating many tenants costs, as whole processes, in multiples of Django's own start-up on the same machine.

    uv run bench/tenant_migrations.py                  # 100 tenants
    uv run bench/tenant_migrations.py --tenants 1000
    uv run bench/tenant_migrations.py --quick          # a few: whether it works

Beside it is Django's `migrate` for one tenant after the other, in one process: what a loop would cost. The commands
take turns, and a figure is the median of its turns. It needs PostgreSQL's programs, and ends with an error where an aim
is missed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tenant_projects import DATABASES, SCHEMAS, Projects, Way, projects

NO_OP_AT_MOST = 2.5  # start-ups, of 100 schemas
FEW = 5  # tenants for Django's loop, which takes too long for more
MIGRATION = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalogue", "{needed}")]
    operations = [migrations.AddField("product", "bench_{number}", models.IntegerField(null=True))]
"""
MAKE = """\
import django; django.setup()
from tenants.services import create_tenant
for number in range({tenants}): create_tenant(f"t{{number}}")
"""
LOOP = """\
import django; django.setup()
from django.core.management import call_command
for number in range({tenants}): call_command("migrate", database=f"tenant_t{{number}}", verbosity=0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few tenants and turns: whether it works")
    options = parser.parse_args()
    tenants, turns = (8, 2) if options.quick else (options.tenants, 7)
    with tempfile.TemporaryDirectory() as folder, projects(Path(folder)) as found:
        no_op = {way.isolation: measure(found, way, tenants, turns, options.jobs) for way in (SCHEMAS, DATABASES)}
    if no_op["schema"] > NO_OP_AT_MOST and tenants <= 100:
        sys.exit(f"A run with nothing to do takes {no_op['schema']:.1f} start-ups; the aim is {NO_OP_AT_MOST}.")


def measure(found: Projects, way: Way, tenants: int, turns: int, jobs: int) -> float:
    """The start-ups that a run with nothing to do takes."""
    for command in way.prepare:
        found.manage(way, *command.split())
    found.run(way, "-c", MAKE.format(tenants=tenants))
    run = ("migrate_tenants", f"--jobs={jobs}", "--verbosity=0")
    found.manage(way, *run)
    taken: dict[str, list[float]] = {"start-up": [], "nothing to do": [], "one column": [], f"Django's, {FEW}": []}
    for number in range(turns):
        taken["start-up"].append(seconds(lambda: found.manage(way, "help", "migrate_tenants")))
        taken["nothing to do"].append(seconds(lambda: found.manage(way, *run)))
        add_migration(found.folders[way.isolation], 2 * number)
        taken["one column"].append(seconds(lambda: found.manage(way, *run)))
        add_migration(found.folders[way.isolation], 2 * number + 1)
        taken[f"Django's, {FEW}"].append(seconds(lambda: found.run(way, "-c", LOOP.format(tenants=FEW))))
        found.manage(way, *run)
    start = statistics.median(taken["start-up"])
    print(f"\n{tenants} tenants, each a {way.isolation}, {jobs} at once")
    for what, times in taken.items():
        took = statistics.median(times)
        each = (took - start) / (FEW if "Django" in what else tenants) * 1000
        print(f"{what:>16}: {took:6.2f} s, {took / start:6.2f} start-ups, {each:7.2f} ms a tenant beyond it")
    sys.stdout.flush()
    return statistics.median(taken["nothing to do"]) / start


def seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def add_migration(project: Path, number: int) -> None:
    folder = project / "catalogue" / "migrations"
    needed = max(path.stem for path in folder.glob("0*.py"))
    (folder / f"09{number:02}_bench.py").write_text(MIGRATION.format(needed=needed, number=number))


if __name__ == "__main__":
    main()
