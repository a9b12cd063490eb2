"""Shared tables in the shared database, everything else in the active tenant's; where none is active, nowhere.

The chain: what may never move, then an explicit ``in_database``, then the tenant. Nothing falls through to
``default``, and nothing here does I/O: routers are asked inside the event loop too.
"""

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from dbrouting import tenant_connections  # noqa: F401  connects its signal receivers
from dbrouting.overrides import StrictOverrideRouter
from dbrouting.tenant_context import NoActiveTenantError, TenantSwitchError, get_current_tenant, is_shared_context
from dbrouting.tenant_names import key_of


class SharedAppsRouter:
    """Tables that exist once are in the shared database, whatever the tenant or an override says."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return DEFAULT_DB_ALIAS if is_shared(model) else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return DEFAULT_DB_ALIAS if is_shared(model) else None


class TenantOverrideRouter(StrictOverrideRouter):
    """``in_database``, which may lead a tenant's code to any database but another site's."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return permitted(super().db_for_read(model, **hints), model, hints.get("instance"))

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return permitted(super().db_for_write(model, **hints), model, hints.get("instance"))


class TenantRouter:
    """Every other table is the active tenant's own."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return home_of(model, hints.get("instance"))

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return home_of(model, hints.get("instance"))

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        return first._state.db == second._state.db

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        if db == DEFAULT_DB_ALIAS:
            return app_label in settings.SHARED_APPS or app_label in settings.EVERY_SITE_APPS
        return is_tenant(db) and app_label not in settings.SHARED_APPS


def is_shared(model: type[Model]) -> bool:
    return model._meta.app_label in settings.SHARED_APPS


def is_tenant(alias: str) -> bool:
    """Whether ``alias`` is a tenant's database, or would be if there were that tenant."""
    return key_of(alias) is not None or alias in settings.DYNAMIC_DB_ROUTES.values()


def is_site(alias: str) -> bool:
    """Whether ``alias`` has users, sessions and rows of its own that no other site may see."""
    return alias == DEFAULT_DB_ALIAS or is_tenant(alias)


def home_of(model: type[Model], instance: Model | None) -> str:
    """Where the rows of ``model`` are for the active tenant or the shared site.

    Where nothing is active, an object that was read by ``.using(alias)`` still finds what belongs to it.
    """
    if tenant := get_current_tenant():
        return same_site(tenant.alias, model, instance)
    home = origin_of(instance) or (DEFAULT_DB_ALIAS if is_shared_context() else None)
    if home is None or (home == DEFAULT_DB_ALIAS and model._meta.app_label not in settings.EVERY_SITE_APPS):
        raise NoActiveTenantError(f"{model._meta.label} is in each tenant's database")
    return home


def permitted(alias: str | None, model: type[Model], instance: Model | None) -> str | None:
    """The override's ``alias``, unless the active tenant has no business there."""
    tenant = get_current_tenant()
    if alias is None:
        return None
    if tenant and alias != tenant.alias and is_site(alias):
        raise TenantSwitchError(
            f"{model._meta.label} inside in_database({alias!r}), while the tenant {tenant.name!r} is active: its "
            "sessions, cache and log records would be mixed with another site's. Leave the tenant first, or write "
            "`with tenant_context(other, switch=True):` (for the shared site: shared_context(switch=True))."
        )
    return same_site(alias, model, instance)


def origin_of(instance: Model | None) -> str | None:
    """The database that ``instance`` was read from, a site's or another; shared rows and new ones have none.

    It may be a lazy proxy, as ``request.user`` is, whose ``type()`` is no model.
    """
    return None if instance is None or is_shared(instance.__class__) else instance._state.db


def same_site(alias: str, model: type[Model], instance: Model | None) -> str:
    """``alias``, unless it is a site's and ``instance``, to be written or to find what belongs to it, isn't from there.

    The error doesn't describe the object: a model's ``__str__`` may query, and would come back here.
    """
    origin = origin_of(instance)
    if instance is None or origin in (None, alias) or not is_site(alias):
        return alias
    raise TenantSwitchError(
        f"{instance._meta.label} {instance.pk!r} is from {origin!r}; {model._meta.label} is asked of {alias!r} now. "
        "Objects don't cross into a site from another database: read it again here, or copy it deliberately, with "
        "save(using=…)."
    )
