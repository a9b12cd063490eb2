"""From the host a request names to the site it is served by."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from math import ceil
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.log import log_response
from django.utils.module_loading import import_string

from dbrouting.blocks import everything_ended
from dbrouting.hosts import spellings
from dbrouting.site_cache import Found, ask, sites
from dbrouting.tenant_context import CurrentTenant, Site, shared_context, tenant_context
from dbrouting.tenant_names import key_of


class SubdomainTenantMiddleware:
    """Serve each request inside the context of its site; first of all, so that nothing queries before it.

    A static route wins over the base domain, and that over the table of domains; a host that none of them knows is
    answered 404 without a query to any tenant, one whose site is closed 503. The host is the one that Django reads:
    ``X-Forwarded-Host`` counts with USE_X_FORWARDED_HOST only. The request is where the tenant comes from, so it may
    replace one that is active around it (a test's).
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.look_up: Callable[[list[str]], Found | None] = import_string(settings.TENANT_LOOKUP)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.call_async(request)
        hosts = hosts_of(request)
        site = known_site(hosts) or self.find_site(hosts)
        if isinstance(site, HttpResponse):
            return noted(site, request)
        mark(request, site)
        with site, everything_ended():
            response = self.get_response(request)
        return cast(HttpResponseBase, site.finished(response))

    async def call_async(self, request: HttpRequest) -> HttpResponseBase:
        hosts = hosts_of(request)
        site = known_site(hosts) or await sync_to_async(self.find_site)(hosts)
        if isinstance(site, HttpResponse):
            return noted(site, request)
        mark(request, site)
        with site:
            response = await self.get_response(request)
        return cast(HttpResponseBase, site.finished(response))

    def find_site(self, hosts: list[str]) -> Site | HttpResponse:
        answer = ask(self.look_up, hosts)
        return site_of(answer.found) if answer else come_back("This site can't be shown at the moment.")


def hosts_of(request: HttpRequest) -> list[str]:
    """The names that the site may be registered under; none for a load balancer's probe, which asks whatever host."""
    return [] if request.path_info in settings.TENANT_PROBE_PATHS else spellings(request.get_host())


def known_site(hosts: list[str]) -> Site | HttpResponse | None:
    """The site, or what to answer instead, if that needs no query."""
    if not hosts:
        return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")
    for host in hosts:
        if alias := settings.DYNAMIC_DB_ROUTES.get(host):
            return tenant_context(CurrentTenant(id=None, name=key_of(alias) or alias, alias=alias), switch=True)
    if settings.TENANT_BASE_DOMAIN in hosts:
        return shared_context(switch=True)
    answer = sites.get(hosts[0])
    return site_of(answer.found) if answer else None


def site_of(found: Found | None) -> Site | HttpResponse:
    """The site that was found, or the answer to give instead."""
    if found is None:
        return refusal(HTTPStatus.NOT_FOUND, "There is no site at this address." + (hint() if settings.DEBUG else ""))
    if found.closed:
        return come_back(found.closed) if found.reopens else refusal(HTTPStatus.SERVICE_UNAVAILABLE, found.closed)
    return tenant_context(found, switch=True)


def hint() -> str:
    base = settings.TENANT_BASE_DOMAIN
    return (
        f"\n\nTENANT_BASE_DOMAIN in .env is {base}: the shared site is there, and a tenant's at a host of its own, "
        f"such as acme.{base}. `python manage.py list_tenants` shows them."
    )


def refusal(status: HTTPStatus, text: str) -> HttpResponse:
    """Plain text: templates and error handlers may query, and there is no database to ask."""
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def come_back(text: str) -> HttpResponse:
    """In some seconds: this process may know better then. How long somebody closes a site for, it can't tell."""
    response = refusal(HTTPStatus.SERVICE_UNAVAILABLE, text)
    response["Retry-After"] = max(1, ceil(settings.TENANT_LOOKUP_SECONDS))
    return response


def noted(response: HttpResponse, request: HttpRequest) -> HttpResponse:
    """A closed site is no error of this process: Django would write so to the admins at each visit."""
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request, level="info")
    return response


def mark(request: HttpRequest, site: Site) -> None:
    request.tenant = site.tenant  # type: ignore[attr-defined]  # this middleware's own addition
    if site.tenant is None:
        request.urlconf = settings.SHARED_URLCONF
