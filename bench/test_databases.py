"""What making the test databases of many aliases takes, beside Django's own way: one after the other.

Run it as `python bench/test_databases.py` in the environment of the tests, for SQLite; a URL as an argument, such as
`postgres://user:password@localhost:5432/bench`, whose user may make databases, is for that server instead. Each way is
a process of its own, the ways take turns, and a figure is the median of its turns, so that only the ratios mean
something; the machine's speed does not matter.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
DATABASES, TURNS = (3, 5, 10), 3
MIGRATIONS = (0, 50)  # beside those of a fresh project, which are few
ENGINES = {"": "sqlite", "postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}
WAYS = ("one after the other", "in threads", "copied", "kept")

# A further column each.
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("catalogue", "{before}")]
    operations = [migrations.AddField("category", "{name}", models.IntegerField(null=True))]
"""

MEASURE = """
import copy
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import django

django.setup()

from django.db import connections
from django.test.utils import setup_databases, teardown_databases

from dbrouting.aliases import usable_aliases
from dbrouting.database_copies import copied_test_databases

way, number = sys.argv[1], int(sys.argv[2])
for alias in [f"tenant_t{tenant}" for tenant in range(number - 1)]:
    connections.settings[alias] = copy.deepcopy(connections.settings[alias])
names = {alias: connections[alias].settings_dict["NAME"] for alias in usable_aliases()}
made = []


def make(alias):
    connection = connections[alias]
    connection.inc_thread_sharing()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    made.append((connection, names[alias], True))


def in_turn(**how):
    made[:] = setup_databases(0, False, aliases=names, serialized_aliases=[], **how)


if way == "kept":
    in_turn(keepdb=True)
    teardown_databases(made, 0, keepdb=True)
start = time.perf_counter()
if way == "in threads":
    shared, *tenants = names
    make(shared)
    with ThreadPoolExecutor() as pool:
        list(pool.map(make, tenants))
elif way == "copied":
    with copied_test_databases():
        in_turn()
else:
    in_turn(keepdb=way == "kept")
print(time.perf_counter() - start)
teardown_databases(made, 0)
"""


def main(url: str = "") -> None:
    with tempfile.TemporaryDirectory() as folder:
        for migrations in MIGRATIONS:
            project = make_project(Path(folder), url, migrations)
            for databases in DATABASES:
                print(f"\n{databases} databases, {migrations} migrations more than a fresh project has")
                compare(project, url, databases)


def compare(project: Path, url: str, databases: int) -> None:
    ways = WAYS if url else WAYS[:-1]  # nothing keeps what is in memory
    turns = [{way: measure(project, url, way, databases) for way in ways} for _ in range(TURNS)]
    costs = {way: statistics.median(turn[way] for turn in turns) for way in ways}
    for way, cost in costs.items():
        print(f"{way:>20}: {cost:6.2f} s, {cost / costs[WAYS[0]]:5.2f} of the first")


def make_project(folder: Path, url: str, migrations: int) -> Path:
    engine = ENGINES[urlsplit(url).scheme]
    answers = {"project_slug": f"bench-{migrations}", "topology": "subdomain-tenant", "database_engine": engine}
    project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers))
    names = ["0001_initial", *(f"{number:04}_more" for number in range(2, migrations + 2))]
    for before, name in itertools.pairwise(names):
        source = MIGRATION.format(before=before, name=f"column_{name}")
        (project / "catalogue" / "migrations" / f"{name}.py").write_text(source)
    return project


def measure(project: Path, url: str, way: str, databases: int) -> float:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    if url:
        environment |= {"DATABASE_URL": url, "TENANT_DATABASE_PREFIX": f"{urlsplit(url).path[1:]}_tenant"}
    command = [sys.executable, "-c", MEASURE, way, str(databases)]
    return float(subprocess.run(command, cwd=project, check=True, env=environment, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
