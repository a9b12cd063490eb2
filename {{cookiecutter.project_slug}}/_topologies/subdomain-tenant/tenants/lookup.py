"""Whose site is at a host; ``settings.TENANT_LOOKUP`` names this function for the middleware."""

from tenants.models import Domain, Tenant


def find_tenant(hosts: list[str]) -> Tenant | None:
    """The tenant of the first of ``hosts`` that has a domain; one query to the shared database."""
    domains = {domain.host: domain.tenant for domain in Domain.objects.filter(host__in=hosts).select_related("tenant")}
    return next((domains[host] for host in hosts if host in domains), None)
