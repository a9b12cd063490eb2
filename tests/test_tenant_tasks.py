"""The worker of django-tasks-db, set up as the docs say: each task runs for the tenant that enqueued it, or fails."""

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
DEMO_ORDERS = 8
TASKS = """
from asgiref.sync import sync_to_async

from catalogue.models import Product
from dbrouting.tenant_context import get_current_tenant, is_shared_context
from django.tasks import task


def look():
    if is_shared_context():
        return "the shared site"
    return get_current_tenant().name, Product.objects.first()._state.db


@task
def seen():
    return look()


@task
async def seen_async():
    return await sync_to_async(look)()


@task
def ask_another():
    seen.enqueue()
    return look()
"""
ENQUEUE = """
from catalogue.tasks import ask_another, seen, seen_async
from orders.tasks import count_orders

for task in (seen, seen_async, count_orders, ask_another):
    task.enqueue()
"""
ENQUEUE_ELSEWHERE = """
from catalogue.tasks import seen
from dbrouting.tenant_context import NoActiveTenantError, shared_context

with shared_context():
    seen.enqueue()
try:
    seen.enqueue()
except NoActiveTenantError:
    print("refused")
"""


class Shop:
    def __init__(self, project: Path, databases: Databases) -> None:
        self.project = project
        self.databases = databases

    def manage(self, *words: str) -> str:
        return manage(self.project, *words, **self.databases.environment)

    def work(self) -> list[dict[str, Any]]:
        """Run what is waiting, and what that enqueues; the rows of all tasks so far."""
        self.manage("db_worker", "--batch", "--no-startup-delay", "--interval=0")
        return self.databases.rows(self.databases.place_of("DATABASE_URL"), TABLE, "ORDER BY enqueued_at")


def value_of(row: dict[str, Any]) -> Any:
    """What the task has returned."""
    value = row["return_value"]
    return json.loads(value) if isinstance(value, str) else value


@pytest.fixture
def shop(fresh: Callable[..., Path], databases: DatabasesOf, combination: Combination) -> Shop:
    project = fresh(**combination._asdict())
    recipe = Recipe((project / "docs" / "code_for_tenants.md").read_text("utf-8"))
    recipe.follow("Background tasks", project, type_command=pytest.fail)
    (project / "catalogue" / "tasks.py").write_text(TASKS, "utf-8")
    if django.VERSION < (6,):
        for path in project.glob("*/tasks.py"):
            path.write_text(path.read_text("utf-8").replace("from django.tasks ", "from django_tasks "), "utf-8")
    shop = Shop(project, databases(project, combination, "tasks_"))
    shop.manage("bootstrap", "--demo")
    return shop


@variants([item for item in COMBINATIONS if item.topology == "subdomain-tenant" and item.database_engine == "sqlite"])
def test_a_task_runs_for_the_site_that_enqueued_it_or_fails(shop: Shop) -> None:
    shop.manage("run_on_tenants", "--all", "shell", "-c", ENQUEUE)
    assert "refused" in shop.manage("shell", "-c", ENQUEUE_ELSEWHERE)
    rows = shop.work()

    acme, globex = (["acme", "tenant_acme"], ["globex", "tenant_globex"])
    assert {row["status"] for row in rows} == {"SUCCESSFUL"}, [row["traceback"] for row in rows]
    of_acme, of_globex = [acme, acme, DEMO_ORDERS, acme], [globex, globex, DEMO_ORDERS, globex]
    assert [value_of(row) for row in rows] == [*of_acme, *of_globex, "the shared site", acme, globex]

    shop.manage("run_on_tenants", "--all", "shell", "-c", "from catalogue.tasks import seen; seen.enqueue()")
    shop.manage("suspend_tenant", "globex")
    *_, done, failed = shop.work()

    assert value_of(done) == acme
    assert (failed["status"], failed["return_value"]) == ("FAILED", None)
    assert "TaskSiteError: The tenant 'globex', which enqueued this task, is not open" in failed["traceback"]
