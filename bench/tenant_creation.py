"""What making a tenant's place costs, beside what the server alone takes for it and beside `migrate`.

Run it as `python bench/tenant_creation.py [postgres://… | mysql://…]` in the environment of the tests; the role must be
allowed to make databases whose names begin with bench. Without a URL it is SQLite's. For PostgreSQL both isolations are
measured. The three take turns, in one process, and a figure is the median of its turns: only the ratios mean something.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent

MEASURE = """
import json
import shutil
import statistics
import time

import django

django.setup()

from django.core.management import call_command
from django.db import connections

from dbrouting.provisioning import create_database, drop_database, name_of, quoted
from tenants.fingerprints import fingerprint
from tenants.isolated_places import kind_of_place
from tenants.places import drop_place, make_place

ALIAS, TURNS = "tenant_new", 7
connection = connections[ALIAS]
name = quoted(connection, name_of(connection))


def copy_file():
    from dbrouting.provisioning import sqlite_path
    from tenants.engine_places import template_file

    shutil.copyfile(template_file(connection, fingerprint()), sqlite_path(connection))


def copy_database():
    from tenants.engine_places import template_name

    with connection._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template_name(fingerprint())} STRATEGY wal_log")


def replay_schema():
    import psycopg

    from dbrouting.schemas.provisioning import without_schema

    with psycopg.connect(**without_schema(connection).get_connection_params()) as session:
        session.execute(f"CREATE SCHEMA {name}; SET search_path = {name}; {kind_of_place().script(fingerprint())}")


def replay_database():
    create_database(connection)
    with connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
        for statement in json.loads(kind_of_place().script(fingerprint())):
            cursor.execute(statement)
    connection.close()


def migrate():
    create_database(connection)
    call_command("migrate", database=ALIAS, verbosity=0)


def seconds(action):
    drop_place(ALIAS)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


create_database(connections["default"])
call_command("migrate", database="default", verbosity=0)
drop_place(ALIAS)
first = seconds(lambda: make_place(ALIAS))
by_hand = {"sqlite": copy_file, "postgresql": copy_database, "mysql": replay_database}[connection.vendor]
if "SCHEMA" in connection.settings_dict:
    by_hand = replay_schema
ways = {"the limit": by_hand, "make_place": lambda: make_place(ALIAS), "migrate": migrate}
taken = {way: [] for way in ways}
for turn in range(TURNS):
    for way, action in ways.items():
        if way != "migrate" or turn < 2:
            taken[way].append(seconds(action))
limit = statistics.median(taken["the limit"])
for way, times in taken.items():
    median = statistics.median(times)
    print(f"  {way:<12} {median * 1000:9.2f} ms  {median / limit:7.2f} of the limit")
print(f"  the first, which makes the blueprint: {first * 1000:.0f} ms")
drop_place(ALIAS)
kind_of_place().remove_outdated(connection, "")
"""


def measure(engine: str, isolation: str, url: str, folder: Path) -> None:
    print(f"{engine}, a {isolation} for each tenant:", flush=True)
    answers = {
        "project_slug": f"bench_{isolation}",
        "topology": "subdomain-tenant",
        "database_engine": engine,
        "tenant_isolation": isolation,
    }
    project = cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers)
    base = url.rpartition("/")[0]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "TENANT_DATABASE_PREFIX": f"bench_{isolation}",
        **({"DATABASE_URL": f"{base}/bench_{isolation}_default"} if url else {}),
    }
    subprocess.run([sys.executable, "-c", MEASURE], cwd=project, env=environment, check=True)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else ""
    scheme = url.partition(":")[0]
    engine = {"": "sqlite", "postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}[scheme]
    with tempfile.TemporaryDirectory() as folder:
        for isolation in ("database", "schema") if engine == "postgresql" else ("database",):
            measure(engine, isolation, url, Path(folder))
