"""The worker of django-tasks-db, set up as the README says: a task sees what its enqueuer wrote, wherever it reads."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import DatabasesOf
from databases import Databases
from processes import manage
from recipes import Recipe

OLD, NEW, NEWEST = 10, 3, 1
EVERY_ENGINE = variants([combination for combination in COMBINATIONS if combination.topology == "primary-replica"])
ON_SERVERS = variants(
    [item for item in COMBINATIONS if item.topology == "primary-replica" and item.database_engine != "sqlite"]
)

# Each says what it saw, where, and what someone sees who has nothing to do with it.
TASKS = """
from asgiref.sync import sync_to_async

from catalogue.models import Product
from dbrouting.pinning import unit_of_work
from django.tasks import task


def look(slug):
    product = Product.objects.get(slug=slug)
    with unit_of_work():
        return product._state.db, product.stock, Product.objects.get(slug=slug).stock


@task
def seen(slug):
    return look(slug)


@task
async def seen_async(slug):
    return await sync_to_async(look)(slug)


@task(takes_context=True)
def sell_out(context, slug, stock):
    Product.objects.filter(slug=slug).update(stock=stock)
    seen.enqueue(slug)
    return look(slug)
"""

# Requests: one writes and enqueues, in one transaction or without any; one only enqueues, after the write of another.
VIEWS = """
from django.db.transaction import atomic
from django.http import HttpResponse
from django.urls import path

from catalogue.models import Product
from catalogue.tasks import seen, seen_async, sell_out


def sell(request, stock):
    Product.objects.filter(slug="sencha").update(stock=stock)
    seen.enqueue("sencha")
    return HttpResponse()


async def sell_async(request, stock):
    await Product.objects.filter(slug="sencha").aupdate(stock=stock)
    await seen_async.aenqueue("sencha")
    return HttpResponse()


def sell_in_a_transaction(request, stock):
    with atomic():
        seen.enqueue("sencha")
        Product.objects.filter(slug="sencha").update(stock=stock)
    return HttpResponse()


def write(request, stock):
    Product.objects.filter(slug="sencha").update(stock=stock)
    return HttpResponse()


def enqueue(request, stock):
    seen.enqueue("sencha")
    return HttpResponse()


def let_a_task_sell(request, stock):
    sell_out.enqueue("sencha", stock)
    return HttpResponse()


views = [sell, sell_async, sell_in_a_transaction, write, enqueue, let_a_task_sell]
urlpatterns = [path(f"{view.__name__}/<int:stock>/", view) for view in views]
"""

REQUESTS = """
from django.conf import settings
from django.test import Client

settings.ROOT_URLCONF = "catalogue.task_urls"
client = Client(headers={{"host": "localhost"}}, raise_request_exception=True)
for address in {addresses}:
    assert client.get(address, secure=True).status_code == 200
"""

RESULTS = """
import json
from django_tasks_db.models import DBTaskResult

results = DBTaskResult.objects.order_by("enqueued_at")
print("results:", json.dumps([(result.status, result.return_value or result.traceback) for result in results]))
results.delete()
"""


class Shop:
    """A project with a worker."""

    def __init__(self, project: Path, databases: Databases) -> None:
        self.project = project
        self.databases = databases

    def manage(self, *words: str) -> str:
        return manage(self.project, *words, **self.databases.environment)

    def shell(self, script: str) -> str:
        return self.manage("shell", "--verbosity=0", "-c", script)

    def visit(self, *addresses: str) -> None:
        """By one browser, one after the other."""
        self.shell(REQUESTS.format(addresses=addresses))

    def results(self) -> list[list[Any]]:
        """What the tasks return that are waiting now, and those that they enqueue, in this order."""
        self.manage("db_worker", "--batch", "--no-startup-delay", "--interval=0")
        printed = self.shell(RESULTS)
        results = json.loads(printed[printed.index("results: ") :].removeprefix("results: "))
        assert {status for status, _ in results} <= {"SUCCESSFUL"}, results
        return [value for _, value in results]


@pytest.fixture
def shop(fresh: Callable[..., Path], databases: DatabasesOf, combination: Combination) -> Iterator[Shop]:
    project = fresh(**combination._asdict())
    recipe = Recipe((project / "README.md").read_text("utf-8"))
    recipe.follow("Background tasks", project, type_command=pytest.fail, execute=pytest.fail)
    (project / "catalogue" / "tasks.py").write_text(TASKS, "utf-8")
    (project / "catalogue" / "task_urls.py").write_text(VIEWS, "utf-8")
    if django.VERSION < (6,):
        for path in project.glob("*/tasks.py"):
            path.write_text(path.read_text("utf-8").replace("from django.tasks ", "from django_tasks "), "utf-8")
    shop = Shop(project, databases(project, combination, "tasks_"))
    shop.manage("bootstrap", "--demo")
    shop.visit(f"/write/{OLD}/")
    shop.databases.catch_up()
    return shop


@ON_SERVERS
def test_a_task_sees_what_its_enqueuer_wrote(shop: Shop) -> None:
    with shop.databases.replicas_paused():
        shop.visit(f"/sell/{NEW}/")
        shop.visit(f"/sell_async/{NEW}/")
        shop.visit(f"/write/{NEW}/", f"/enqueue/{NEW}/")
        shop.visit(f"/sell_in_a_transaction/{NEW}/")
        assert shop.results() == [["default", NEW, OLD]] * 4

        shop.visit(f"/let_a_task_sell/{NEWEST}/")
        assert shop.results() == [["default", NEWEST, OLD]] * 2

    shop.visit(f"/sell/{NEW}/", f"/sell_async/{NEW}/", f"/sell_in_a_transaction/{NEW}/")
    shop.databases.catch_up()
    for alias, *stock in shop.results():
        assert alias.startswith("replica")
        assert stock == [NEW, NEW]


@EVERY_ENGINE
def test_a_task_that_writes_does_not_pin_the_next(shop: Shop) -> None:
    shop.visit(f"/let_a_task_sell/{NEW}/", f"/enqueue/{NEW}/")
    shop.databases.catch_up()
    wrote, read, _ = shop.results()

    assert wrote[0] == "default"
    assert read[0].startswith("replica")
