# /// script
# requires-python = ">=3.12"
# dependencies = [
#   "cookiecutter", "django>=5.2,<5.3", "django-dynamic-db-router==0.3.0", "django-environ", "factory-boy", "httpx",
#   "django-pgschemas==1.3.2", "django-tenants==4.0.1", "psycopg[binary,pool]>=3.2", "pymysql", "pytest", "tqdm",
# ]
# ///
"""What many tenants cost, beside plain Django, django-tenants and django-pgschemas on the same PostgreSQL.

    uv run bench/tenants.py                  # 100 tenants
    uv run bench/tenants.py --quick          # a few: whether it works
    uv run bench/tenants.py requests         # that part alone

Each way of serving is a process of its own, the ways take turns, and a figure is the median of its turns, compared with
its neighbour of the same turn: only the ratios mean something, the machine's speed does not matter. It needs
PostgreSQL's programs and PgBouncer, and ends with an error where an aim is missed.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tenant_projects import (
    DATABASES,
    DJANGO_PGSCHEMAS,
    DJANGO_TENANTS,
    OWN_DATABASES,
    PLAIN,
    PLAIN_CHECKED,
    SCHEMAS,
    Projects,
    Way,
    bouncer,
    projects,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="requests, creation, migrations; without any, all")
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="few tenants and turns: whether it works")
    options = parser.parse_args()
    tenants, turns = (8, 3) if options.quick else (options.tenants, 15)
    with tempfile.TemporaryDirectory() as folder, projects(Path(folder)) as found, bouncer(found.server) as pooler:
        make_tenants(found, tenants)
        show_requests(found, tenants, turns, pooler.url("bench_database"))


def make_tenants(found: Projects, tenants: int) -> None:
    for database in OWN_DATABASES:
        found.server.execute(f"CREATE DATABASE {database} OWNER shop")
    for way in (PLAIN, SCHEMAS, DATABASES, DJANGO_TENANTS, DJANGO_PGSCHEMAS):
        for command in way.prepare:
            found.manage(way, *command.split())
        found.run(way, "-m", "tenant_site.rows", 0, tenants)


def show_requests(found: Projects, tenants: int, turns: int, pooled: str) -> None:
    few = str(tenants // 5)
    enough = str(tenants * 2)
    ways = {
        "plain Django, one database": PLAIN,
        "the same, connection checked": PLAIN_CHECKED,
        "ours, schemas": SCHEMAS,
        "ours, databases, warm": DATABASES._replace(environment={"TENANT_MAX_CONNECTIONS": enough}),
        "ours, databases, budget of a fifth": DATABASES._replace(environment={"TENANT_MAX_CONNECTIONS": few}),
        "ours, databases, PgBouncer, a fifth": DATABASES._replace(
            environment={"TENANT_MAX_CONNECTIONS": few, "TENANT_DATABASE_URL": f"{pooled}?pgbouncer=true"}
        ),
        "django-tenants": DJANGO_TENANTS,
        "django-tenants, limited set calls": DJANGO_TENANTS._replace(settings="by_django_tenants.limited"),
        "django-pgschemas": DJANGO_PGSCHEMAS,
        "django-pgschemas, limited set calls": DJANGO_PGSCHEMAS._replace(settings="by_django_pgschemas.limited"),
    }
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(serving(found, way)) for name, way in ways.items()}
        for threads in (1, 4):
            for server in servers.values():
                ask(server, tenants, threads)
                ask(server, tenants, threads)
            found_turns = [
                {name: ask(server, tenants, threads) for name, server in servers.items()} for _ in range(turns)
            ]
            print(f"\na request to one of {tenants} tenants, {threads} at once")
            for name in ways:
                cost = statistics.median(turn[name] for turn in found_turns)
                ratio = statistics.median(turn["plain Django, one database"] / turn[name] for turn in found_turns)
                print(f"{name:>38}: {cost:7.0f} us, {ratio:5.2f} of plain Django's requests a second")
            sys.stdout.flush()
        counted = found.server.execute(
            "SELECT coalesce(datname, ''), count(*) FROM pg_stat_activity WHERE datname LIKE 'bench%' GROUP BY 1"
        )
        print(sum(n for _, n in counted), {name: n for name, n in counted if n > 1})


@contextlib.contextmanager
def serving(found: Projects, way: Way) -> Iterator[subprocess.Popen[str]]:
    server = found.start(way, "-m", "tenant_site.serve", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with server:
        try:
            yield server
        finally:
            server.kill()


def ask(server: subprocess.Popen[str], tenants: int, threads: int) -> float:
    """Microseconds a request."""
    print(tenants, threads, file=server.stdin, flush=True)
    return float(server.stdout.readline())


if __name__ == "__main__":
    main()
