"""What a tenant's request costs, beside the same request of a project with a single PostgreSQL database.

Run it as `python bench/requests.py postgres://user:password@localhost:5432/bench [port of a PgBouncer]` in the
environment of the tests; the role must be allowed to make databases. Each way of serving is a process of its own, the
ways take turns, and a figure is the median of its turns, so that only the ratios mean something. The handler is called
directly and the signals of requests are sent, as a server does.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
TENANTS, TURNS = 20, 3

# The same tables and rows, by a single alias that keeps its connection, and without tenants.
PLAIN = """
import os
from config.settings import *
from dbrouting.mapping import DatabaseMapping

PLACE = {"schema": {"OPTIONS": {**DATABASES["default"]["OPTIONS"], "options": "-c search_path=bench_t0"}},
         "database": {"NAME": "bench_t0"}}[os.environ["ISOLATION"]]
DATABASES = DatabaseMapping({"default": {**DATABASES["default"], **PLACE, "CONN_MAX_AGE": None}})
MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("dbrouting")]
DATABASE_ROUTERS = []
"""

MEASURE = """
import itertools, statistics, sys, timeit
import django

django.setup()

from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory

handler = WSGIHandler()
hosts = itertools.cycle([f"t{number}.localhost" for number in range(int(sys.argv[1]))])


def request():
    environ = RequestFactory().get("/api/products/", headers={"host": next(hosts)}).environ
    response = handler(environ, lambda status, headers: None)
    assert response.status_code == 200
    b"".join(response)
    response.close()


for _ in range(3 * int(sys.argv[1])):
    request()
if len(sys.argv) > 2:
    import cProfile, pstats
    profile = cProfile.Profile()
    profile.runcall(lambda: [request() for _ in range(400)])
    pstats.Stats(profile).sort_stats(sys.argv[2]).print_stats(45)
print(min(timeit.repeat(request, number=60, repeat=9)) / 60 * 1e6)
"""


def main(url: str, pgbouncer: str) -> None:
    for isolation in ("schema", "database"):
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(Path(folder), url, isolation)
            ways = {"one database": {"DJANGO_SETTINGS_MODULE": "bench_plain"}}
            ways["warm"] = {"TENANT_MAX_CONNECTIONS": str(TENANTS)}
            if pgbouncer:
                pooled = url.replace(str(urlsplit(url).port), pgbouncer) + "?pgbouncer=true"
                ways["PgBouncer, warm"] = {**ways["warm"], "TENANT_DATABASE_URL": pooled}
                ways["PgBouncer, over budget"] = {"TENANT_MAX_CONNECTIONS": "8", "TENANT_DATABASE_URL": pooled}
            ways["over budget"] = {"TENANT_MAX_CONNECTIONS": "8"}
            turns = [{way: measure(project, **change) for way, change in ways.items()} for _ in range(TURNS)]
            costs = {way: statistics.median(turn[way] for turn in turns) for way in ways}
            for way, cost in costs.items():
                print(f"{isolation:>8}: {way:>25}: {cost:6.0f} us a request, {costs['one database'] / cost:5.2f}")


def make_project(folder: Path, url: str, isolation: str) -> Path:
    answers = {"project_name": "bench", "topology": "subdomain-tenant", "database_engine": "postgresql"}
    answers["tenant_isolation"] = isolation
    project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers))
    os.environ |= {"DATABASE_URL": url, "TENANT_DATABASE_PREFIX": "bench", "DJANGO_DEBUG": "False"}
    os.environ |= {"DATABASE_ADMIN_URL": "", "DJANGO_USE_HTTPS": "False", "DJANGO_ALLOWED_HOSTS": "*"}
    os.environ |= {"ISOLATION": isolation, "TENANT_LOOKUP_SECONDS": "60"}
    (project / "bench_plain.py").write_text(PLAIN)
    run(project, "manage.py", "bootstrap", "--verbosity=0")
    for number in range(TENANTS):
        run(project, "manage.py", "create_tenant", f"t{number}", "--verbosity=0")
        run(project, "manage.py", "seed_demo", f"--tenant=t{number}", "--verbosity=0")
    return project


def measure(project: Path, **environment: str) -> float:
    """Microseconds a request."""
    environment.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    return float(run(project, "-c", MEASURE, str(TENANTS), **environment))


def run(project: Path, *arguments: str, **environment: str) -> str:
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
