"""What the routers of this topology have in mind, for those who ask why."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from dbrouting.routers import SharedAppsRouter, TenantRouter, is_tenant
from dbrouting.tenant_context import CurrentTenant, Site, shared_context, tenant_context
from dbrouting.tenant_names import ALIAS_PREFIX, alias_of

# There need not be such a tenant: routers don't query.
ANY_TENANT = CurrentTenant(None, "any", alias_of("any"))
# Decisions that nobody took: there are none here.
BY_DEFAULT: frozenset[str] = frozenset()
# Those to have a table also where the routers send no query.
EVERYWHERE: frozenset[str] = frozenset()
# What a diagram shows beside the routing: from, to, what.
LINKS: tuple[tuple[str, str, str], ...] = ()


def situations(for_diagram: bool = False) -> Iterator[tuple[str, AbstractContextManager[object]]]:
    """Every site there is, and none; code that works for a site asks about that one."""
    if Site.frames.innermost() is not None:
        yield "", nullcontext()
        return
    yield "a tenant is active", tenant_context(ANY_TENANT, switch=True)
    yield "the shared site is active", shared_context(switch=True)
    yield "neither is active", nullcontext()


def pattern_of(alias: str) -> str:
    """Every tenant's alias stands for all tenants."""
    return f"{ALIAS_PREFIX}*" if is_tenant(alias) else alias


def why(router: object, operation: str, model: type[Model], alias: str | None) -> str:
    label = model._meta.app_label
    if not isinstance(router, SharedAppsRouter | TenantRouter):
        return ""
    if label in settings.SHARED_APPS:
        return "SHARED_APPS"
    if alias == DEFAULT_DB_ALIAS:
        return "EVERY_SITE_APPS"
    return "the tenant's own database"
