"""Background tasks that run for the site that enqueued them: backends for ``TASKS``, and ``for_tenants`` for others.

The site's id is enqueued with the arguments, and whoever runs the task takes it out again: the task enters the site,
or fails if that is gone or closed meanwhile. Nothing runs for another site, and what is enqueued where no site is
active raises at once.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ValidationError

from dbrouting.aliases import let_go
from dbrouting.blocks import everything_ended
from dbrouting.tenant_context import (
    CurrentTenant,
    Site,
    TenantLike,
    TenantSwitchError,
    get_current_tenant,
    is_shared_context,
    shared_context,
    site_id,
    tenant_context,
)
from dbrouting.tenant_names import key_of

PACKAGE = "django.tasks" if find_spec("django.tasks") else "django_tasks"  # the backport, for Django 5.2
SITE = "dbrouting_site"

_tasks: Any = import_module(f"{PACKAGE}.base")


class TaskSiteError(RuntimeError):
    """The site that a task is to run for isn't there, or isn't open."""


class TenantTask(_tasks.Task):  # type: ignore[misc]  # Django's or the backport's, which is known at run time only
    """A task that knows the site in its arguments. Called without one, it runs in the context that it is called in."""

    __slots__ = ()
    keeps_site = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        if (block := block_of(kwargs.pop(SITE, None))) is None:
            return super().call(*args, **kwargs)
        try:
            with block, everything_ended():
                return super().call(*args, **kwargs)
        finally:
            close(block)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        if (block := await sync_to_async(block_of)(kwargs.pop(SITE, None))) is None:
            return await super().acall(*args, **kwargs)
        try:
            with block, everything_ended():
                return await super().acall(*args, **kwargs)
        finally:
            await sync_to_async(close)(block)


class TenantBackend:
    """What a backend needs besides to send the site along."""

    task_class = TenantTask

    def validate_task(self, task: Any) -> None:
        if not isinstance(task, TenantTask):
            raise TypeError(
                f"{task.module_path} was declared for a backend that sends no tenant along. Name this one where it is "
                "declared: @task(backend=…)."
            )
        super().validate_task(task)  # type: ignore[misc]  # the backend's

    def enqueue(self, task: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return super().enqueue(task, args, bound(task, kwargs))  # type: ignore[misc]  # likewise

    async def aenqueue(self, task: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return await super().aenqueue(task, args, bound(task, kwargs))  # type: ignore[misc]  # likewise


def bound(task: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """``kwargs`` with the site that is active; those of an earlier task must be of the same."""
    here = site_id()
    if kwargs.get(SITE, here) != here:
        raise TenantSwitchError(f"{task.module_path} has arguments from another site's task; this site is {here}.")
    return {**kwargs, SITE: here}


def block_of(site: str | None) -> Site | None:
    """The block of the site with this id; ``None`` inside it, where an immediate backend runs what is enqueued."""
    if site is None or (is_anywhere() and site == site_id()):
        return None
    if site == "shared":
        return shared_context()
    if site in settings.DYNAMIC_DB_ROUTES.values():
        return tenant_context(CurrentTenant(id=None, name=key_of(site) or site, alias=site))
    return tenant_context(open_tenant(site))


def is_anywhere() -> bool:
    return get_current_tenant() is not None or is_shared_context()


def open_tenant(site: str) -> TenantLike:
    """The tenant with this id. Tasks are declared before there are models, so those are imported late."""
    from tenants.lookup import why_closed
    from tenants.models import Tenant

    try:
        tenant = Tenant.objects.get(pk=site)
    except (Tenant.DoesNotExist, ValidationError):
        raise TaskSiteError(f"No tenant has the id {site}, which enqueued this task: it has been deleted.") from None
    if reason := why_closed(tenant):
        raise TaskSiteError(
            f"The tenant {tenant.name!r}, which enqueued this task, is not open. {reason} "
            "Enqueue the task again once it is."
        )
    return tenant


def close(block: Site) -> None:
    """A worker goes from tenant to tenant, and keeps no connections."""
    if block.tenant:
        let_go(block.tenant.alias)


def for_tenants(backend: type) -> type:
    """``backend``, one of ``django.tasks``, with tasks that run for the site that enqueued them."""
    return type(f"Tenant{backend.__name__}", (TenantBackend, backend), {})


TenantImmediateBackend = for_tenants(import_module(f"{PACKAGE}.backends.immediate").ImmediateBackend)
TenantDummyBackend = for_tenants(import_module(f"{PACKAGE}.backends.dummy").DummyBackend)
if find_spec("django_tasks_db"):
    TenantDatabaseBackend = for_tenants(import_module("django_tasks_db").DatabaseBackend)
