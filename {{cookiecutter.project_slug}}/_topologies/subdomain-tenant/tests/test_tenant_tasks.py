"""A task runs for the site that enqueued it, wherever and whenever it runs."""

import json
from importlib.util import find_spec
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import LazySettings
from django.db import connections, router
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from catalogue.models import Product
from dbrouting.per_tenant import task_checks
from dbrouting.tenant_context import (
    CurrentTenant,
    NoActiveTenantError,
    TenantSwitchError,
    get_current_tenant,
    is_shared_context,
    shared_context,
    tenant_context,
)
from tenants.models import Tenant

if find_spec("django.tasks") is None:
    pytest.skip("Django 5.2 has no tasks, and this project does not need their backport", allow_module_level=True)

from django.tasks import Task, task_backends
from django.tasks.backends.dummy import DummyBackend
from django.tasks.base import task

from tenants.task_backends import SITE, TaskSiteError

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]


class Queue(DummyBackend):
    """A package's backend, which knows of no tenants."""


BACKENDS = {
    "default": {"BACKEND": "tenants.task_backends.TenantImmediateBackend"},
    "later": {"BACKEND": "tenants.task_backends.TenantDummyBackend"},
    "plain": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
}
LEFT: list[tenant_context] = []


def look(word: str = "") -> str:
    return "shared" if is_shared_context() else router.db_for_read(Product) + word


with override_settings(TASKS=BACKENDS):

    @task(backend="later")
    def seen(word: str = "") -> str:
        return look(word)

    @task(backend="later")
    async def seen_async(word: str = "") -> str:
        return look(word)

    @task(backend="later")
    def leave_open() -> None:
        LEFT[0].__enter__()

    @task
    def seen_at_once() -> str:
        return look()

    @task(backend="plain")
    def seen_by_nobody() -> str:
        return look()


@pytest.fixture(autouse=True)
def _task_backends(settings: LazySettings) -> None:
    settings.TASKS = BACKENDS


def waiting() -> list[Any]:
    backend: Any = task_backends["later"]
    return cast(list[Any], backend.results)


def work() -> list[object]:
    """Run what is waiting as a worker does: from its stored arguments, where no tenant is active."""
    return [stored.task.call(*stored.args, **json.loads(json.dumps(stored.kwargs))) for stored in waiting()]


@pytest.mark.parametrize("later", [seen, seen_async])
def test_a_worker_runs_each_task_for_the_tenant_that_enqueued_it(
    acme: CurrentTenant, globex: CurrentTenant, later: "Task[..., str]"
) -> None:
    for tenant in (acme, globex):
        with tenant_context(tenant):
            later.enqueue("!")
            async_to_sync(later.aenqueue)(word="?")

    assert work() == ["tenant_acme!", "tenant_acme?", "tenant_globex!", "tenant_globex?"]
    assert get_current_tenant() is None


def test_an_asynchronous_worker_does_too(acme: CurrentTenant) -> None:
    with tenant_context(acme):
        stored = seen_async.enqueue()

    assert str(async_to_sync(stored.task.acall)(**stored.kwargs)) == acme.alias
    assert get_current_tenant() is None


def test_what_the_shared_site_enqueues_runs_there() -> None:
    with shared_context():
        seen.enqueue()

    assert work() == ["shared"]


def test_without_a_site_nothing_is_enqueued() -> None:
    with pytest.raises(NoActiveTenantError):
        seen.enqueue()

    assert waiting() == []


def test_an_immediate_task_is_part_of_what_enqueues_it(acme: CurrentTenant) -> None:
    with tenant_context(acme), CaptureQueriesContext(connections["default"]) as queries:
        assert seen_at_once.enqueue().return_value == acme.alias

    assert len(queries) == 0


@pytest.mark.parametrize("state", [state for state in Tenant.State if state != Tenant.State.ACTIVE])
def test_a_task_of_a_tenant_that_is_not_open_any_more_fails(acme: CurrentTenant, state: Tenant.State) -> None:
    with tenant_context(acme):
        seen.enqueue()
    Tenant.objects.filter(name=acme.name).update(state=state)

    with pytest.raises(TaskSiteError, match="'acme', which enqueued this task, is not open"):
        work()


@pytest.mark.parametrize("site", ["00000000-0000-4000-8000-000000000000", "tenant_acme", "nonsense", ""])
def test_a_task_of_nobody_known_fails(site: str) -> None:
    with pytest.raises(TaskSiteError, match=f"No tenant has the id {site}"):
        seen.call(**{SITE: site})


def test_a_static_routes_task_runs_on_its_alias(settings: LazySettings) -> None:
    settings.DYNAMIC_DB_ROUTES = {"legacy.test": "tenant_globex"}
    with tenant_context(CurrentTenant(None, "globex", "tenant_globex")):
        seen.enqueue()

    assert work() == ["tenant_globex"]


def test_arguments_of_one_tenants_task_are_not_enqueued_for_another(acme: CurrentTenant, globex: CurrentTenant) -> None:
    with tenant_context(acme):
        stored = seen.enqueue()

    with tenant_context(globex), pytest.raises(TenantSwitchError, match="seen has arguments from another"):
        stored.task.enqueue(**stored.kwargs)


def test_a_task_of_a_backend_without_tenants_is_not_enqueued_on_one_with() -> None:
    with pytest.raises(TypeError, match="declared for a backend that sends no tenant along"):
        seen_by_nobody.using(backend="later")


def test_what_a_task_leaves_open_is_not_the_next_ones(acme: CurrentTenant, globex: CurrentTenant) -> None:
    LEFT[:] = [tenant_context(globex, switch=True)]
    with tenant_context(acme):
        leave_open.enqueue()

    work()

    assert get_current_tenant() is None


def test_a_backend_that_keeps_no_tenant_is_a_warning(settings: LazySettings) -> None:
    assert task_checks.check_tasks_know_their_site(None) == []

    settings.TASKS = {**BACKENDS, "queue": {"BACKEND": f"{__name__}.Queue"}}

    (found,) = task_checks.check_tasks_know_their_site(None)
    assert (found.id, "TASKS['queue']" in found.msg) == ("dbrouting.W306", True)


def test_a_queue_in_each_tenants_database_is_an_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert task_checks.check_queue_is_shared(None) == []

    monkeypatch.setattr(apps, "is_installed", lambda name: name == task_checks.QUEUE)

    assert [found.id for found in task_checks.check_queue_is_shared(None)] == ["dbrouting.E312"]
    settings.SHARED_APPS = [*settings.SHARED_APPS, task_checks.QUEUE_LABEL]
    assert task_checks.check_queue_is_shared(None) == []
