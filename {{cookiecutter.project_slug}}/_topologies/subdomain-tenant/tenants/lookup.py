"""Whose site is at a host; ``settings.TENANT_LOOKUP`` names this function for the middleware."""

from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from dbrouting.site_cache import sites
from tenants.migrating.state import is_behind
from tenants.models import Domain, Tenant


class FoundTenant(NamedTuple):
    """A tenant as the middleware needs it, apart from the shared database."""

    id: str
    name: str
    alias: str
    closed: str
    reopens: bool


def find_tenant(hosts: list[str]) -> FoundTenant | None:
    """The tenant of the first of ``hosts`` that has a domain; one query to the shared database.

    One that is being made, or removed, isn't there for visitors.
    """
    visible = Domain.objects.filter(host__in=hosts, tenant__state__in=[Tenant.State.ACTIVE, Tenant.State.SUSPENDED])
    tenants = {domain.host: domain.tenant for domain in visible.select_related("tenant")}
    for host in hosts:
        if tenant := tenants.get(host):
            return FoundTenant(str(tenant.id), tenant.name, tenant.alias, why_closed(tenant), tenant.is_active)
    return None


def why_closed(tenant: Tenant) -> str:
    """What to tell visitors instead of showing them the site; empty if it is open."""
    if not tenant.is_active:
        return "This site is closed at the moment."
    if is_behind(tenant.migrations) and not settings.TENANT_SERVE_BEHIND:
        return "This site is being updated. It will be back in a moment."
    return ""


def forget_sites(using: str, **kwargs: object) -> None:
    """At once for this transaction, and again at its end: until then others read, and remember, what was before."""
    sites.clear()
    transaction.on_commit(sites.clear, using=using)


for model in (Tenant, Domain):
    post_save.connect(forget_sites, sender=model)
    post_delete.connect(forget_sites, sender=model)
