"""What a request for a schema tenant costs, beside the same request of a project with a single PostgreSQL database.

Run it as `python bench/schemas.py postgres://user:password@localhost:5432/bench` in the environment of the tests; the
role must be allowed to make databases. Each way of serving is a process of its own, the ways take turns, and a figure
is the median of its turns, so that only the ratios mean something; the machine's speed does not matter.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
TENANTS, TURNS = 100, 5

# The same tables and rows, by a single alias with a pool and without tenants.
PLAIN = """
from config.settings import *
from config.isolation import POOL
from dbrouting.mapping import DatabaseMapping

OPTIONS = {**DATABASES["default"]["OPTIONS"], "options": "-c search_path=bench_acme", "pool": POOL}
DATABASES = DatabaseMapping({"default": {**DATABASES["default"], "CONN_MAX_AGE": 0, "OPTIONS": OPTIONS}})
MIDDLEWARE = MIDDLEWARE[1:]
DATABASE_ROUTERS = []
"""

LISTED = f"""
from config.settings import *

for number in range({TENANTS}):
    DATABASES[f"tenant_t{{number}}"] = DATABASES[f"tenant_t{{number}}"]
DATABASES["tenant_acme"] = DATABASES["tenant_acme"]
"""

WAYS = {
    "a single database, with a pool": "bench_plain",
    "schema tenants": "config.settings",
    f"the same, {TENANTS} tenants listed in DATABASES": "bench_listed",
}

MEASURE = """
import statistics
import timeit

import django

django.setup()

from django.db import close_old_connections
from django.test import Client

client = Client(headers={"host": "acme.localhost"})


def request():
    assert client.get("/api/products/").status_code == 200
    close_old_connections()  # as after each request of a server; the test client leaves it out


request()
print(statistics.median(timeit.repeat(request, number=50, repeat=7)) / 50 * 1e6)
"""


def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), url)
        turns = [{way: measure(project, settings) for way, settings in WAYS.items()} for _ in range(TURNS)]
    costs = {way: statistics.median(turn[way] for turn in turns) for way in WAYS}
    plain = next(iter(costs.values()))
    for way, cost in costs.items():
        print(f"{way:>45}: {cost:6.0f} us a request, {cost / plain:5.2f} times the first")


def make_project(folder: Path, url: str) -> Path:
    answers = {"project_name": "bench", "topology": "subdomain-tenant", "database_engine": "postgresql"}
    answers["tenant_isolation"] = "schema"
    project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers))
    os.environ |= {"DATABASE_URL": url, "TENANT_DATABASE_PREFIX": "bench", "DJANGO_DEBUG": "False"}
    os.environ |= {"DATABASE_ADMIN_URL": "", "DJANGO_USE_HTTPS": "False", "DJANGO_ALLOWED_HOSTS": "*"}
    (project / "bench_plain.py").write_text(PLAIN)
    (project / "bench_listed.py").write_text(LISTED)
    run(project, "manage.py", "bootstrap", "--demo", "--verbosity=0")
    return project


def measure(project: Path, settings: str) -> float:
    """Microseconds a request."""
    return float(run(project, "-c", MEASURE, DJANGO_SETTINGS_MODULE=settings))


def run(project: Path, *arguments: str, **environment: str) -> str:
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1])
