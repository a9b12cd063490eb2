# /// script
# requires-python = ">=3.12"
# dependencies = [
#   "cookiecutter", "django>=5.2,<5.3", "django-dynamic-db-router==0.3.0", "django-environ", "factory-boy", "httpx",
#   "django-pgschemas==1.3.2", "django-tenants==4.0.1", "psycopg[binary,pool]>=3.2", "pymysql", "pytest", "tqdm",
# ]
# ///
"""What many tenants cost, beside plain Django, django-tenants and django-pgschemas on the same PostgreSQL.

    uv run bench/tenants.py                  # with 100 tenants, in a quarter of an hour
    uv run bench/tenants.py --tenants 1000
    uv run bench/tenants.py --only requests
    uv run bench/tenants.py --quick          # with a few: whether it works

Each way of serving is a process of its own, the ways take turns, and a figure is the median of its turns, compared with
its neighbour's of the same turn: only the ratios mean something, the machine's speed does not matter. It needs
PostgreSQL's programs and PgBouncer. The exit code is the number of aims that were missed.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tenant_creation import measure_creation
from tenant_migrations import measure_migrations
from tenant_projects import Aim, bouncer, projects
from tenant_requests import measure_requests


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="few tenants and turns: whether it works")
    parser.add_argument("--only", choices=["requests", "migrations"], help="measure these, and making tenants")
    options = parser.parse_args()
    tenants, turns = (10, 3) if options.quick else (options.tenants, options.turns)
    aims: list[Aim] = []
    with tempfile.TemporaryDirectory() as folder, projects(Path(folder)) as found, bouncer(found.server) as pooler:
        aims += measure_creation(found, tenants)
        if options.only != "migrations":
            aims += measure_requests(found, tenants, turns, pooler)
        if options.only != "requests":
            aims += measure_migrations(found, tenants)
    return show_aims(aims)


def show_aims(aims: Iterable[Aim]) -> int:
    """How many were missed."""
    print("\naims")
    missed = 0
    for aim in aims:
        is_met = aim.found >= aim.bound if aim.at_least else aim.found <= aim.bound
        missed += not is_met
        sign = ">=" if aim.at_least else "<="
        print(f"{aim.what:>62}: {aim.found:5.2f} {sign} {aim.bound:4.2f}  {'met' if is_met else 'MISSED'}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
