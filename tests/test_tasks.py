"""The worker of django-tasks-db, set up as the README says: a task sees what its enqueuer wrote, wherever it reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import DatabasesOf
from databases import Databases
from processes import manage
from recipes import Recipe

TABLE = "django_tasks_database_dbtaskresult"
# How many there are of a product: by the demo data, after a write, after the next.
OLD, NEW, NEWEST = 45, 3, 1
VARIANTS = [combination for combination in COMBINATIONS if combination.topology == "primary-replica"]

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
from orders.tasks import count_orders


def sell(request, number):
    Product.objects.filter(slug="sencha-100g").update(stock=number)
    seen.enqueue("sencha-100g")
    return HttpResponse()


async def sell_async(request, number):
    await Product.objects.filter(slug="sencha-100g").aupdate(stock=number)
    await seen_async.aenqueue("sencha-100g")
    return HttpResponse()


def sell_in_a_transaction(request, number):
    with atomic():
        seen.enqueue("sencha-100g")
        Product.objects.filter(slug="sencha-100g").update(stock=number)
    return HttpResponse()


def write(request, number):
    Product.objects.filter(slug="sencha-100g").update(stock=number)
    return HttpResponse()


def enqueue(request, number):
    seen.enqueue("sencha-100g")
    return HttpResponse()


def let_a_task_sell(request, number):
    sell_out.enqueue("sencha-100g", number)
    return HttpResponse()


def use_the_readmes_task(request, number):
    count_orders.enqueue(number)
    return HttpResponse()


views = [use_the_readmes_task, sell, sell_async, sell_in_a_transaction, write, enqueue, let_a_task_sell]
urlpatterns = [path(f"{view.__name__}/<int:number>/", view) for view in views]
"""

REQUESTS = """
from django.conf import settings
from django.test import Client

settings.ROOT_URLCONF = "catalogue.task_urls"
for addresses in {browsers}:
    client = Client(headers={{"host": "localhost"}})
    for address in addresses:
        assert client.get(address, secure=True).status_code == 200
"""


class Shop:
    """A project with a worker."""

    def __init__(self, project: Path, databases: Databases) -> None:
        self.project = project
        self.databases = databases
        self.results_seen = 0

    def manage(self, *words: str) -> str:
        return manage(self.project, *words, **self.databases.environment)

    def visit(self, *browsers: list[str]) -> None:
        """Each browser asks for its addresses, one after the other."""
        self.manage("shell", "--verbosity=0", "-c", REQUESTS.format(browsers=browsers))

    def work(self) -> list[list[Any]]:
        """What the tasks return that are waiting, and then those that they enqueue."""
        self.manage("db_worker", "--batch", "--no-startup-delay", "--interval=0")
        rows = self.databases.rows(self.databases.place_of("DATABASE_URL"), TABLE, "ORDER BY enqueued_at")
        new, self.results_seen = rows[self.results_seen :], len(rows)
        assert {row["status"] for row in new} <= {"SUCCESSFUL"}, [row["traceback"] for row in new]
        values = (row["return_value"] for row in new)
        return [json.loads(value) if isinstance(value, str) else value for value in values]


@pytest.fixture
def shop(fresh: Callable[..., Path], databases: DatabasesOf, combination: Combination) -> Shop:
    project = fresh(**combination._asdict())
    recipe = Recipe((project / "README.md").read_text("utf-8"))
    recipe.follow("Background tasks", project, type_command=pytest.fail)
    (project / "catalogue" / "tasks.py").write_text(TASKS, "utf-8")
    (project / "catalogue" / "task_urls.py").write_text(VIEWS, "utf-8")
    if django.VERSION < (6,):
        for path in project.glob("*/tasks.py"):
            path.write_text(path.read_text("utf-8").replace("from django.tasks ", "from django_tasks "), "utf-8")
    shop = Shop(project, databases(project, combination, "tasks_"))
    shop.manage("bootstrap", "--demo")
    shop.databases.catch_up()
    return shop


def expect_reads_on_replicas(shop: Shop) -> None:
    """By tasks whose rows have arrived, though the worker has written."""
    shop.visit(*([f"/{view}/{NEW}/"] for view in ("let_a_task_sell", "sell", "sell_async", "sell_in_a_transaction")))
    shop.databases.catch_up()
    wrote, *read, _ = shop.work()

    assert wrote[0] == "default"
    for alias, *stocks in read:
        assert alias.startswith("replica")
        assert stocks == [NEW, NEW]


@pytest.mark.once
@variants([combination for combination in VARIANTS if combination.database_engine != "sqlite"])
def test_a_task_sees_what_its_enqueuer_wrote_and_reads_a_replica_that_has_it(shop: Shop) -> None:
    visits = (
        [f"/sell/{NEW}/"],
        [f"/sell_async/{NEW}/"],
        [f"/sell_in_a_transaction/{NEW}/"],
        [f"/write/{NEW}/", f"/enqueue/{NEW}/"],
        [f"/let_a_task_sell/{NEWEST}/"],
    )
    with shop.databases.replicas_paused():
        shop.visit(*visits)
        *seen, wrote, seen_by_task_of_task = shop.work()

    assert seen == [["default", NEW, OLD]] * 4
    assert wrote == seen_by_task_of_task == ["default", NEWEST, OLD]

    expect_reads_on_replicas(shop)


@variants([combination for combination in VARIANTS if combination.database_engine == "sqlite"])
def test_without_positions_too_a_task_reads_a_replica_that_has_its_row(shop: Shop) -> None:
    expect_reads_on_replicas(shop)

    shop.visit(["/use_the_readmes_task/7/"])
    assert shop.work() == [0]
