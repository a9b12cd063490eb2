"""From the host a request names to the site it is served by."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from dbrouting.blocks import everything_ended
from dbrouting.hosts import spellings
from dbrouting.tenant_context import CurrentTenant, Site, TenantLike, shared_context, tenant_context
from dbrouting.tenant_names import name_of


class TenantRow(TenantLike, Protocol):
    """What ``settings.TENANT_LOOKUP`` finds for a host."""

    @property
    def is_active(self) -> bool: ...


class SubdomainTenantMiddleware:
    """Serve each request inside the context of its site; first of all, so that nothing queries before it.

    A static route wins over the base domain, and that over the table of domains; a host that none of them knows is
    answered 404 without a query to any tenant, a suspended tenant's 503. The request is where the tenant comes from,
    so it may replace one that is active around it (a test's).
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.look_up: Callable[[list[str]], TenantRow | None] = import_string(settings.TENANT_LOOKUP)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.call_async(request)
        hosts = spellings(request.get_host())
        site = site_without_query(hosts) or site_of(self.look_up(hosts))
        if isinstance(site, HttpResponse):
            return site
        mark(request, site)
        with site, everything_ended():
            response = self.get_response(request)
        return cast(HttpResponseBase, site.finished(response))

    async def call_async(self, request: HttpRequest) -> HttpResponseBase:
        hosts = spellings(request.get_host())
        site = site_without_query(hosts) or site_of(await sync_to_async(self.look_up)(hosts))
        if isinstance(site, HttpResponse):
            return site
        mark(request, site)
        with site:
            response = await self.get_response(request)
        return cast(HttpResponseBase, site.finished(response))


def site_without_query(hosts: list[str]) -> Site | None:
    """The site that the settings alone give to a host."""
    for host in hosts:
        if alias := settings.DYNAMIC_DB_ROUTES.get(host):
            return tenant_context(CurrentTenant(id=None, name=name_of(alias) or alias, alias=alias), switch=True)
    return shared_context(switch=True) if settings.TENANT_BASE_DOMAIN in hosts else None


def site_of(tenant: TenantRow | None) -> Site | HttpResponse:
    """The site of a row, or the answer to give instead."""
    if tenant is None:
        return refusal(HTTPStatus.NOT_FOUND, "There is no site at this address." + (hint() if settings.DEBUG else ""))
    if not tenant.is_active:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "This site is closed at the moment.")
    return tenant_context(tenant, switch=True)


def hint() -> str:
    base = settings.TENANT_BASE_DOMAIN
    return (
        f"\n\nTENANT_BASE_DOMAIN in .env is {base}: the shared site is there, and a tenant's at a host of its own, "
        f"such as acme.{base}. `python manage.py list_tenants` shows them."
    )


def refusal(status: HTTPStatus, text: str) -> HttpResponse:
    """Plain text: templates and error handlers may query, and there is no database to ask."""
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def mark(request: HttpRequest, site: Site) -> None:
    request.tenant = site.tenant  # type: ignore[attr-defined]  # this middleware's own addition
    if site.tenant is None:
        request.urlconf = settings.SHARED_URLCONF
