"""What reading from replicas costs: the generated primary-replica project beside the peers, on the same databases.

Run it as `python bench/replicas.py` in the environment of the tests and of the dependency group `bench`. It measures
what a router's decision takes, and a request that reads ten rows by key, for a client that wrote and one that did not.
All figures are medians of the same run, so that only their ratios mean something; the machine's speed does not matter.

The databases are a throwaway PostgreSQL primary and a standby; without PostgreSQL one file of SQLite, which has no
positions to ask for. On PostgreSQL it counts the questions for them too, and ends with an error if there are more than
promised: none for a client that has not written, one for its first request after a write, one for a write.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
sys.path.insert(0, str(TEMPLATE / "tests"))
from servers import Cluster, postgresql_cluster  # noqa: E402  found by the line before

TURNS = 20
DATABASE = "bench"

# Django's documentation has this pair; the other routers are as short as they can be.
ROUTERS = """
import random
from contextvars import ContextVar

alias = ContextVar("alias", default="default")


class AuthRouter:
    route_app_labels = {"auth", "contenttypes"}

    def db_for_read(self, model, **hints):
        if model._meta.app_label in self.route_app_labels:
            return "auth_db"
        return None

    def db_for_write(self, model, **hints):
        if model._meta.app_label in self.route_app_labels:
            return "auth_db"
        return None


class PrimaryReplicaRouter:
    def db_for_read(self, model, **hints):
        return random.choice(["replica1", "replica1"])  # there is one, in a list of two

    def db_for_write(self, model, **hints):
        return "default"


class ContextVarRouter:
    def db_for_read(self, model, **hints):
        return alias.get()

    def db_for_write(self, model, **hints):
        return alias.get()
"""

OURS = """
from config.settings import *
from config.settings import DATABASE_MIDDLEWARE

ROOT_URLCONF = "bench_page"
MIDDLEWARE = DATABASE_MIDDLEWARE
for config in DATABASES.values():
    config["CONN_MAX_AGE"] = None
"""
WITHOUT_OURS = """
from bench_ours import *

INSTALLED_APPS = [name for name in INSTALLED_APPS if name not in {"dbrouting", "demo"}]
for alias in REPLICA_DATABASES:
    DATABASES[alias]["ENGINE"] = DATABASES["default"]["ENGINE"]
"""
WAYS = {
    "no router": f"{WITHOUT_OURS}\nMIDDLEWARE = DATABASE_ROUTERS = []",
    "the documentation's pair": f"{WITHOUT_OURS}\nMIDDLEWARE = []\n"
    'DATABASE_ROUTERS = ["bench_routers.AuthRouter", "bench_routers.PrimaryReplicaRouter"]',
    "django-multidb-router": f'{WITHOUT_OURS}\nMIDDLEWARE = ["multidb.middleware.PinningRouterMiddleware"]\n'
    'DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]',
    "generated": "from bench_ours import *",
}

PAGE = """
from django.db.models import F
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from catalogue.models import Product


def read(request):
    return HttpResponse(str([Product.objects.get(slug=f"product-{number}").stock for number in range(10)]))


@csrf_exempt
def write(request):
    Product.objects.filter(slug="product-0").update(stock=F("stock") + 1)
    return HttpResponse()


urlpatterns = [path("read", read), path("write", write)]
"""

FILL = """
import django

django.setup()

from catalogue.models import Category, Product

category = Category.objects.create(name="Bench", slug="bench")
Product.objects.bulk_create(
    Product(category=category, name=str(number), slug=f"product-{number}", price=1, stock=1) for number in range(10)
)
"""

MEASURE_DECISIONS = """
import importlib.util
import json
import statistics
import timeit

import django

django.setup()

import dynamic_db_router.router
import multidb
from django.db import router
from django.db.utils import ConnectionRouter

import bench_routers
from catalogue.models import Product
from dbrouting.pinning import unit_of_work

# As published: a second copy, in which nothing leads to the project's own classes.
spec = importlib.util.spec_from_file_location("published", dynamic_db_router.router.__file__)
published = importlib.util.module_from_spec(spec)
spec.loader.exec_module(published)

routers = {
    "no router": ConnectionRouter([]),
    "the documentation's pair": ConnectionRouter([bench_routers.AuthRouter(), bench_routers.PrimaryReplicaRouter()]),
    "DynamicDbRouter": ConnectionRouter([published.DynamicDbRouter()]),
    "django-multidb-router": ConnectionRouter([multidb.PinningReplicaRouter()]),
    "a ContextVar": ConnectionRouter([bench_routers.ContextVarRouter()]),
    "generated": router,
}
asked = {name: (lambda r=r: r.db_for_read(Product), lambda r=r: r.db_for_write(Product)) for name, r in routers.items()}
times = {name: ([], []) for name in routers}
Product.objects.using("default").first()
with unit_of_work():
    for turn in range(300):
        for name, questions in asked.items():
            for question, found in zip(questions, times[name]):
                found.append(timeit.timeit(question, number=500) / 500 * 1e6)
print(json.dumps({name: [statistics.median(found) for found in pair] for name, pair in times.items()}))
"""

MEASURE_REQUESTS = '''
import io
import json
import statistics
import sys
import time
from http.cookies import SimpleCookie

import django

django.setup()

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.test import RequestFactory

handler = WSGIHandler()
cookies = SimpleCookie()
statements = []
forget = statements.clear
if connection.vendor == "postgresql":
    import psycopg

    def forget():
        """What this process knows of the standby."""
        if standby := connections["replica1"].connection:
            vars(standby).pop("dbrouting_replayed", None)

    execute = psycopg.Cursor.execute

    def noted(cursor, statement, *args, **kwargs):
        statements.append(str(statement))
        return execute(cursor, statement, *args, **kwargs)

    psycopg.Cursor.execute = noted


def serve(method, path):
    environ = RequestFactory().generic(method, path, headers={"cookie": cookies.output(attrs=[], header="", sep=";")})
    headers = []
    response = handler(environ.environ, lambda status, found: headers.extend(found))
    assert response.status_code == 200, response.content
    response.close()
    for name, value in headers:
        if name == "Set-Cookie":
            cookies.load(value)


def questions(method, path):
    del statements[:]
    serve(method, path)
    return {
        "checks": sum("pg_last_wal_replay_lsn" in statement for statement in statements),
        "captures": sum("pg_current_wal_insert_lsn" in statement for statement in statements),
        "queries": sum("catalogue_product" in statement for statement in statements),
    }


def measure(method, path, before=lambda: None):
    """Microseconds a request."""
    spent = []
    for _ in range(20):
        before()
        begun = time.perf_counter()
        serve(method, path)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent) * 1e6


serve("GET", "/read")  # connects, as the next one does
serve("POST", "/write")
cookies.clear()
for line in sys.stdin:
    forget()
    counts = {"a read": questions("GET", "/read")}
    times = {"a read": measure("GET", "/read")}
    counts["a write"] = questions("POST", "/write")
    time.sleep(0.1)  # the standby must have the write, or the next read is the primary's
    counts["the first read after a write"] = questions("GET", "/read")
    counts["the next read"] = questions("GET", "/read")
    times["the first read after a write"] = measure("GET", "/read", forget)
    times["the next read"] = measure("GET", "/read")
    times["a write"] = measure("POST", "/write", cookies.clear)
    cookies.clear()
    print(json.dumps([times, counts]), flush=True)
'''

PROMISED = {
    "a read": {"checks": 0, "captures": 0, "queries": 10},
    "a write": {"checks": 0, "captures": 1, "queries": 1},
    "the first read after a write": {"checks": 1, "captures": 0, "queries": 10},
    "the next read": {"checks": 0, "captures": 0, "queries": 10},
}


def main() -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(cluster_if_any())
        project = make_project(folder, cluster)
        show_decisions(json.loads(run(project, "-c", MEASURE_DECISIONS, settings="bench_ours")))
        servers = {way: stack.enter_context(serving(project, way)) for way in WAYS}
        turns = [{way: turn_of(server) for way, server in servers.items()} for _ in range(TURNS)]
    show_requests({way: [turn[way][0] for turn in turns] for way in WAYS})
    if cluster:
        check_counts([turn["generated"][1] for turn in turns])


@contextlib.contextmanager
def cluster_if_any() -> Iterator[Cluster | None]:
    with contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(postgresql_cluster())
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            print(f"On SQLite: {missing}")
            cluster = None
        yield cluster


def make_project(folder: Path, cluster: Cluster | None) -> Path:
    """The pages measured, the ways to serve them, and ten rows that the standby has too."""
    engine = "postgresql" if cluster else "sqlite"
    answers = {"project_name": "bench", "topology": "primary-replica", "database_engine": engine}
    project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers))
    if cluster:
        prompt = cluster.replicas[0]
        os.environ |= {"DATABASE_URL": cluster.primary.url(DATABASE), "DATABASE_ADMIN_URL": cluster.primary.admin_url}
        os.environ["REPLICA_URLS"] = prompt.url(DATABASE)
    os.environ |= {"DJANGO_DEBUG": "False", "DJANGO_USE_HTTPS": "False", "DJANGO_ALLOWED_HOSTS": "*"}
    os.environ["REPLICA_CHECK_SECONDS"] = "0"  # nothing looks at the standby but the requests
    modules = {"bench_routers": ROUTERS, "bench_ours": OURS, "bench_page": PAGE}
    modules |= {module_of(way): settings for way, settings in WAYS.items()}
    for name, source in modules.items():
        (project / f"{name}.py").write_text(source, "utf-8")
    run(project, "manage.py", "bootstrap", "--verbosity=0")
    run(project, "-c", FILL)
    if cluster:
        prompt.catch_up()
    return project


def module_of(way: str) -> str:
    return f"bench_way_{list(WAYS).index(way)}"


@contextlib.contextmanager
def serving(project: Path, way: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own for each way: they take turns, so that what else the machine does is fair to all."""
    with start(project, "-c", MEASURE_REQUESTS, settings=module_of(way)) as server:
        try:
            yield server
        finally:
            server.kill()


def turn_of(server: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What one turn took, and how many statements."""
    print("go", file=server.stdin, flush=True)
    turn: list[dict[str, Any]] = json.loads(server.stdout.readline())
    return turn


def start(project: Path, *words: str, settings: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=project,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(project: Path, *words: str, settings: str = "config.settings") -> str:
    """The output of a command that must succeed."""
    with start(project, *words, settings=settings) as process:
        output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"`{words[0]}` exited with {process.returncode}.")
    return output


def show_decisions(costs: dict[str, list[float]]) -> None:
    print(f"\n{'a decision':>26}   read, us            write, us")
    for name, pair in costs.items():
        compared = zip(pair, costs["the documentation's pair"], strict=True)
        print(f"{name:>26}: " + "   ".join(f"{cost:5.2f} ({cost / docs:5.2f} times)" for cost, docs in compared))


def show_requests(turns: dict[str, list[dict[str, float]]]) -> None:
    """Each compared with its neighbour of the same turn."""
    plain = turns["no router"]
    for what in plain[0]:
        print(f"\n{what}, of ten rows" if "read" in what else f"\n{what}")
        for way, found in turns.items():
            cost = statistics.median(turn[what] for turn in found)
            ratio = statistics.median(turn[what] / beside[what] for turn, beside in zip(found, plain, strict=True))
            print(f"{way:>26}: {cost:6.0f} us a request, {ratio:5.2f} times no router's")


def check_counts(turns: list[dict[str, dict[str, int]]]) -> None:
    print("\nstatements, generated")
    for what, found in turns[0].items():
        print(f"{what:>30}: " + ", ".join(f"{number} {name}" for name, number in found.items()))
    if wrong := [turn for turn in turns if turn != PROMISED]:
        sys.exit(f"More or less than promised:\n{PROMISED}\n{wrong[0]}")


if __name__ == "__main__":
    main()
