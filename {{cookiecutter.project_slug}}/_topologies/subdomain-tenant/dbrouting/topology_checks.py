"""System checks of the tenants' routing."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db.models import Field, Model
from django.utils.module_loading import import_string

from dbrouting.checks import TAG
from dbrouting.middleware import SubdomainTenantMiddleware
from dbrouting.overrides import OverrideRouter
from dbrouting.routers import SharedAppsRouter, TenantOverrideRouter, TenantRouter

SETTINGS = (
    "SHARED_APPS",
    "EVERY_SITE_APPS",
    "DYNAMIC_DB_ROUTES",
    "TENANT_BASE_DOMAIN",
    "TENANT_LOOKUP",
    "SHARED_URLCONF",
)
MIDDLEWARE = f"{SubdomainTenantMiddleware.__module__}.{SubdomainTenantMiddleware.__qualname__}"
ROUTERS = (SharedAppsRouter, TenantOverrideRouter, TenantRouter)
CONTRIB_LABELS = ("admin", "auth", "contenttypes", "sessions")


@register(TAG)
def check_routers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without one of them, in another order, or with another override router a query could reach another site."""
    classes = [import_string(item) if isinstance(item, str) else type(item) for item in settings.DATABASE_ROUTERS]
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
    if settings.MIDDLEWARE and settings.MIDDLEWARE[0] == MIDDLEWARE:
        return []
    return [
        Error(
            f"{MIDDLEWARE} is not the first of MIDDLEWARE.",
            hint="What comes before it runs without a tenant: its queries raise NoActiveTenantError. Put it first.",
            id="dbrouting.E302",
        )
    ]


@register(TAG)
def check_app_labels(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt label would put the app's tables into every tenant's database."""
    return [
        Error(
            f"{name} names {label!r}, which is no installed app's label.",
            hint=f"The labels are: {', '.join(sorted(apps.app_configs))}.",
            id="dbrouting.E303",
        )
        for name in ("SHARED_APPS", "EVERY_SITE_APPS")
        for label in getattr(settings, name)
        if label not in apps.app_configs
    ]


@register(TAG)
def check_users_are_on_every_site(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Sessions, permissions and users refer to each other, and both kinds of site have them."""
    user_label = settings.AUTH_USER_MODEL.partition(".")[0]
    return [
        Error(
            f"{label} is not in EVERY_SITE_APPS.",
            hint=f'Add "{label}" in config/databases.py: the shared site and each tenant have users of their own.',
            id="dbrouting.E304",
        )
        for label in (user_label, *CONTRIB_LABELS)
        if label in apps.app_configs and label not in settings.EVERY_SITE_APPS
    ]


@register(TAG)
def check_relations_stay_in_one_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """No database can join, constrain or cascade into another."""
    return [
        Error(
            f"{field.model._meta.label}.{field.name} relates {source}, in {where_is(source)}, to {target}, in "
            f"{where_is(target)}.",
            hint="Store what identifies the row in a plain indexed field, or move one of the apps.",
            obj=field.model,
            id="dbrouting.E305",
        )
        for field in relations()
        if (source := field.model._meta.app_label) != (target := target_label(field))
        and where_is(target) not in (where_is(source), EVERYWHERE)
    ]


SHARED, EVERYWHERE, TENANTS = "the shared database", "the shared and every tenant's database", "the tenants' databases"


def where_is(app_label: str) -> str:
    if app_label in settings.SHARED_APPS:
        return SHARED
    return EVERYWHERE if app_label in settings.EVERY_SITE_APPS else TENANTS


def relations() -> "Iterator[Field[Any, Any]]":
    for model in apps.get_models():
        fields = (*model._meta.local_fields, *model._meta.local_many_to_many)
        yield from (field for field in fields if field.is_relation)


def target_label(field: "Field[Any, Any]") -> str:
    return cast(type[Model], field.related_model)._meta.app_label
