"""System checks: what would be good on more than one site, and what a transaction for each request can't cover."""

from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.apps import AppConfig
from django.conf import settings
from django.contrib.sessions.backends import cache, cached_db, signed_cookies
from django.contrib.sessions.backends.base import SessionBase
from django.core import checks
from django.core.cache.backends.base import get_key_func
from django.core.checks import CheckMessage, Error, register
from django.core.files.storage import FileSystemStorage
from django.db import DEFAULT_DB_ALIAS, connections
from django.urls import get_resolver
from django.utils.module_loading import import_string

from dbrouting.checks import TAG, atomic_aliases, patterns_in
from dbrouting.per_tenant.atomic_requests import is_exempt
from dbrouting.per_tenant.caches import shared_key
from dbrouting.per_tenant.files import SiteStorage
from dbrouting.reachability import variable_of
from dbrouting.sample_tenant import SAMPLE, tenants_have_a_url
from dbrouting.tenant_context import CurrentTenant, tenant_context

# There need not be such tenants: what is bound to a site is bound to whatever id it has.
TWO_TENANTS = [CurrentTenant(number, "sample", SAMPLE) for number in ("1", "2")]


def differs(make: Callable[[], object]) -> bool:
    """Whether ``make`` gives each of two tenants something else."""
    made = []
    for tenant in TWO_TENANTS:
        with tenant_context(tenant, switch=True):
            made.append(make())
    return made[0] != made[1]


@register(TAG)
def check_caches_say_whose_their_keys_are(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Also those that are tables: a clone begins with a copy of its model's."""
    return [
        Error(
            f"The cache {alias!r} has the same keys on every site: one is shown what another cached.",
            hint='Give it the KEY_FUNCTION "dbrouting.per_tenant.caches.site_key"; or, if all sites may see all of it, '
            '"dbrouting.per_tenant.caches.shared_key".',
            id="dbrouting.E310",
        )
        for alias in settings.CACHES
        if key_function(alias) is not shared_key and not has_keys_of_the_site(alias)
    ]


def key_function(cache_alias: str) -> Callable[..., str]:
    function: Callable[..., str] = get_key_func(settings.CACHES.get(cache_alias, {}).get("KEY_FUNCTION"))
    return function


def has_keys_of_the_site(cache_alias: str) -> bool:
    return differs(lambda: key_function(cache_alias)("key", "", 1))


@register(TAG)
def check_sessions_are_the_sites_own(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Otherwise a cookie of one site logs in at another, or at a copy of its own."""
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    is_cached = issubclass(store, (cache.SessionStore, cached_db.SessionStore))
    if is_cached and not has_keys_of_the_site(settings.SESSION_CACHE_ALIAS):
        fault = f"keeps sessions in the cache {settings.SESSION_CACHE_ALIAS!r}, whose keys are the same on every site"
    elif not issubclass(store, cache.SessionStore) and not is_signed_for_the_site(store):
        fault = "doesn't bind sessions to their site: one that is copied, or kept for all, is good on another"
    else:
        return []
    return [
        Error(
            f"{settings.SESSION_ENGINE} {fault}.",
            hint='Use "dbrouting.per_tenant.sessions"; or, with a cache whose KEY_FUNCTION is '
            '"dbrouting.per_tenant.caches.site_key", "dbrouting.per_tenant.cached_sessions" or '
            '"django.contrib.sessions.backends.cache".',
            id="dbrouting.E311",
        )
    ]


def is_signed_for_the_site(store: type[SessionBase]) -> bool:
    """The store that keeps sessions in cookies signs them without looking at ``key_salt``."""
    return not issubclass(store, signed_cookies.SessionStore) and differs(lambda: store().key_salt)


@register(TAG)
def check_uploads_are_the_sites_own(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What another kind of storage does is not looked at."""
    storage = import_string(settings.STORAGES["default"]["BACKEND"])
    if not issubclass(storage, FileSystemStorage) or issubclass(storage, SiteStorage):
        return []
    return [
        checks.Warning(
            "The default storage keeps the uploads of all sites in one folder, and each site shows all of them.",
            hint='Use "dbrouting.per_tenant.files.SiteStorage", or build on it.',
            id="dbrouting.W305",
        )
    ]


@register(TAG)
def check_atomic_requests(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django walks over the listed databases, whichever site a request is for; a tenant's is never one."""
    listed = [
        Error(
            f"ATOMIC_REQUESTS of {alias!r} opens a transaction there on every site's requests, and none on the "
            "tenant's own database.",
            hint=f"Turn it off in {variable_of(alias)}, and set TENANT_ATOMIC_REQUESTS=True in .env.",
            id="dbrouting.E306",
        )
        for alias in atomic_aliases()
    ]
    if not tenants_have_a_url() or not connections.settings[SAMPLE]["ATOMIC_REQUESTS"]:
        return [*listed]
    return [
        *listed,
        Error(
            "ATOMIC_REQUESTS of the tenants' databases does nothing: Django looks at listed databases only.",
            hint=f"Take it out of {variable_of(SAMPLE)}, and set TENANT_ATOMIC_REQUESTS=True in .env.",
            id="dbrouting.E306",
        ),
    ]


@register(TAG)
def check_views_fit_atomic_requests(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Such a view would be answered with a RuntimeError."""
    if not settings.TENANT_ATOMIC_REQUESTS:
        return []
    return [
        Error(
            f"The asynchronous view {pattern.lookup_str} can't be served: TENANT_ATOMIC_REQUESTS is on, and a "
            "transaction belongs to one thread.",
            hint="Decorate the view with @transaction.non_atomic_requests, and use atomic_for(Model) from "
            "dbrouting.sql in a synchronous function that it calls.",
            id="dbrouting.E309",
        )
        for urlconf in (settings.ROOT_URLCONF, settings.SHARED_URLCONF)
        for pattern in patterns_in(get_resolver(urlconf).url_patterns)
        if iscoroutinefunction(pattern.callback) and not is_exempt(pattern.callback, DEFAULT_DB_ALIAS)
    ]
