"""System checks of the tenants' routing."""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS
from django.db.models import DO_NOTHING, Field, Model
from django.http.request import validate_host

from dbrouting.aliases import usable_aliases
from dbrouting.checks import (
    TAG,
    middleware_before,
    refused_views,
    router_classes,
    text_switches,
    unimportable,
    unknown_labels,
    unrouted_models,
    user_labels,
)
from dbrouting.middleware import SubdomainTenantMiddleware
from dbrouting.overrides import OverrideRouter
from dbrouting.per_tenant import guards  # noqa: F401  switches them on
from dbrouting.relations import DATABASE_ON_DELETE, Databases, relations_across
from dbrouting.routers import SharedAppsRouter, TenantOverrideRouter, TenantRouter, is_site
from dbrouting.sample_tenant import SAMPLE, SAMPLE_NAME, tenants_have_a_url

SETTINGS = (
    "SHARED_APPS",
    "EVERY_SITE_APPS",
    "DYNAMIC_DB_ROUTES",
    "TENANT_BASE_DOMAIN",
    "TENANT_LOOKUP",
    "TENANT_LOOKUP_SECONDS",
    "TENANT_STALE_SECONDS",
    "TENANT_MAX_CONNECTIONS",
    "TENANT_PROBE_PATHS",
    "SHARED_URLCONF",
    "TENANT_ATOMIC_REQUESTS",
    "TENANT_UPLOADS_PREFIX",
)
MIDDLEWARE = f"{SubdomainTenantMiddleware.__module__}.{SubdomainTenantMiddleware.__qualname__}"
ROUTERS = (SharedAppsRouter, TenantOverrideRouter, TenantRouter)


def databases() -> Databases:
    others = {alias: repr(alias) for alias in usable_aliases() if not is_site(alias)}
    return Databases(
        {DEFAULT_DB_ALIAS: "the shared database", SAMPLE: "the tenants' databases", **others},
        "move one of the apps in SHARED_APPS and EVERY_SITE_APPS",
    )


@register(TAG)
def check_routers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without one of them, in another order, or with another override router a query could reach another site."""
    classes = router_classes()
    ours = [found for found in classes if issubclass(found, (OverrideRouter, *ROUTERS))]
    if ours == list(ROUTERS) and classes[-1] is TenantRouter:
        return []
    names = ", ".join(f'"{router.__module__}.{router.__qualname__}"' for router in ROUTERS)
    return [
        Error(
            "DATABASE_ROUTERS doesn't keep the tenants apart.",
            hint=f"It needs these, in this order, the last one at the end, and no other override router: {names}.",
            id="dbrouting.E301",
        )
    ]


@register(TAG)
def check_middleware_is_first(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What comes before it runs without a tenant: its queries raise, and a page it caches is whose it likes."""
    before = middleware_before(MIDDLEWARE)
    if MIDDLEWARE in settings.MIDDLEWARE and not before:
        return []
    fault = f"comes after {', '.join(before)}" if MIDDLEWARE in settings.MIDDLEWARE else "is missing"
    return [
        Error(
            f"{MIDDLEWARE} is not the first of MIDDLEWARE: it {fault}.",
            hint=f'What runs before it has no tenant. Put "{MIDDLEWARE}" first.',
            id="dbrouting.E302",
        )
    ]


@register(TAG)
def check_app_labels(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt label would put the app's tables into every tenant's database, one in both lists into one."""
    unknown = [
        Error(
            f"{name} names {label!r}, which is no installed app's label.",
            hint=f"The labels are: {', '.join(sorted(apps.app_configs))}.",
            id="dbrouting.E303",
        )
        for name in ("SHARED_APPS", "EVERY_SITE_APPS")
        for label in unknown_labels(getattr(settings, name))
    ]
    contradictory = [
        Error(
            f"{label!r} is in SHARED_APPS, so there is one table for all, and in EVERY_SITE_APPS, so there are many.",
            hint="Leave it in one of them, in config/databases.py.",
            id="dbrouting.E308",
        )
        for label in settings.EVERY_SITE_APPS
        if label in settings.SHARED_APPS
    ]
    return [*unknown, *contradictory]


@register(TAG)
def check_users_are_on_every_site(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Sessions, permissions and users refer to each other, and both kinds of site have them."""
    return [
        Error(
            f"{label} is not in EVERY_SITE_APPS.",
            hint=f'Add "{label}" in config/databases.py: the shared site and each tenant have users of their own.',
            id="dbrouting.E304",
        )
        for label in user_labels()
        if label not in settings.EVERY_SITE_APPS
    ]


@register(TAG)
def check_every_model_has_a_home(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return unrouted_models(databases().names)


@register(TAG)
def check_relations_stay_in_one_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return relations_across(databases(), "dbrouting.E305")


@register(TAG)
def check_shared_rows_name_no_sites_rows(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A shared row is met on every site, and its relations are looked up on the site at hand."""
    return [
        checks.Warning(
            f"{field.model._meta.label}.{field.name} leads from a row that exists once to {target._meta.label}, of "
            "which each site has its own.",
            hint="On a tenant's site it finds that tenant's row with the same id. Store what identifies the row in a "
            "plain field, and follow it inside `with shared_context():` only.",
            obj=field.model,
            id="dbrouting.W301",
        )
        for field, target in relations_to_every_site()
        if databases().of(field.model) == {DEFAULT_DB_ALIAS}
    ]


@register(TAG)
def check_shared_site_can_delete(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django looks for the rows that a deletion concerns, and the shared database has no such table."""
    return [
        checks.Info(
            f"{field.model._meta.label}.{field.name} makes deleting {target._meta.label} fail on the shared site, "
            f"which has no {field.model._meta.label}.",
            hint=f'Add "{field.model._meta.app_label}" to EVERY_SITE_APPS, or store the id in a plain indexed field; '
            "or delete none there (a user's is_active can be false instead).",
            obj=field.model,
            id="dbrouting.I301",
        )
        for field, target in relations_to_every_site()
        if databases().of(field.model) == {SAMPLE} and is_collected(field)
    ]


def relations_to_every_site() -> Iterator[tuple["Field[Any, Any]", type[Model]]]:
    for model in apps.get_models():
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            target = field.related_model
            if isinstance(target, type) and {DEFAULT_DB_ALIAS, SAMPLE} <= databases().of(target):
                yield field, target


def is_collected(field: "Field[Any, Any]") -> bool:
    """Whether Django itself, not the database, sees to the rows on this side when the other is deleted.

    It always does to the pairs of a many-to-many field, which has no rule.
    """
    on_delete = getattr(field.remote_field, "on_delete", None)
    return on_delete is not DO_NOTHING and not isinstance(on_delete, DATABASE_ON_DELETE)


@register(TAG)
def check_tenants_switches(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return text_switches([SAMPLE]) if tenants_have_a_url() else []


@register(TAG)
def check_shared_site_exists(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    faults = unimportable("SHARED_URLCONF", importlib.import_module)
    return [*unimportable("TENANT_LOOKUP"), *(faults or refused_views(settings.SHARED_URLCONF))]


@register(TAG)
def check_session_cookie_domain(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A cookie with a domain is sent to every host below it; without one it stays with the host that set it."""
    if not settings.SESSION_COOKIE_DOMAIN:
        return []
    return [
        Error(
            f"SESSION_COOKIE_DOMAIN is {settings.SESSION_COOKIE_DOMAIN!r}: browsers send one site's session to others.",
            hint="Remove the setting: each site then has a session of its own.",
            id="dbrouting.E307",
        )
    ]


@register(TAG)
def check_csrf_cookie_domain(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.CSRF_COOKIE_DOMAIN:
        return []
    return [
        checks.Warning(
            f"CSRF_COOKIE_DOMAIN is {settings.CSRF_COOKIE_DOMAIN!r}: one site's token is good for others' forms.",
            hint="Remove the setting: each site then has a token of its own.",
            id="dbrouting.W302",
        )
    ]


@register(TAG)
def check_hosts_are_allowed(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django answers 400 to the rest before any tenant is looked up; while debugging, it has hosts of its own."""
    hosts = (settings.TENANT_BASE_DOMAIN, f"{SAMPLE_NAME}.{settings.TENANT_BASE_DOMAIN}")
    refused = [host for host in hosts if not validate_host(host, settings.ALLOWED_HOSTS)]
    if not refused or (settings.DEBUG and not settings.ALLOWED_HOSTS):
        return []
    return [
        checks.Warning(
            f"ALLOWED_HOSTS refuses {' and '.join(refused)}: such sites answer 400.",
            hint=f"Add .{settings.TENANT_BASE_DOMAIN} to DJANGO_ALLOWED_HOSTS in .env: the dot admits every subdomain.",
            id="dbrouting.W304",
        )
    ]
