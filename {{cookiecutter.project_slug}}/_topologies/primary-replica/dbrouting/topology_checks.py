"""System checks of the primary, its replicas, and what keeps their readers from old rows."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import connections, router
from django.utils.module_loading import import_string

from dbrouting.aliases import is_dummy
from dbrouting.checks import TAG
from dbrouting.middleware import PrimaryPinningMiddleware
from dbrouting.replicas import primary_alias, replica_weights
from dbrouting.routers import PrimaryReplicaRouter

SETTINGS = ("PRIMARY_ALIAS", "REPLICA_DATABASES", "PRIMARY_ONLY_APPS", "PRIMARY_PIN_SECONDS", "PRIMARY_PIN_COOKIE")
MIDDLEWARE = f"{PrimaryPinningMiddleware.__module__}.{PrimaryPinningMiddleware.__qualname__}"
ROUTER = f"{PrimaryReplicaRouter.__module__}.{PrimaryReplicaRouter.__qualname__}"
# Beside the user model's app: reading these on a replica would log people out or honour what was revoked.
ALWAYS_FRESH = ("admin", "auth", "sessions")


@register(TAG)
def check_primary_exists(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if primary_alias() in connections.settings and not is_dummy(primary_alias()):
        return []
    return [
        Error(
            f"PRIMARY_ALIAS is {primary_alias()!r}, which DATABASES doesn't have or leaves empty.",
            hint=f"The aliases are: {', '.join(connections)}.",
            id="dbrouting.E101",
        )
    ]


@register(TAG)
def check_replicas(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    weights = replica_weights()
    unusable = [
        Error(
            f"REPLICA_DATABASES names {alias!r}, which is {fault}.",
            hint="It lists aliases of DATABASES that replicate the primary.",
            id="dbrouting.E102",
        )
        for alias in weights
        if (fault := _fault_of(alias))
    ]
    weightless = [
        Error(
            f"The replica {alias!r} has the weight {weight!r}.",
            hint="A weight is a whole number above 0; remove a replica that is not to be read.",
            id="dbrouting.E103",
        )
        for alias, weight in weights.items()
        if not isinstance(weight, int) or weight < 1
    ]
    return [*unusable, *weightless]


@register(TAG)
def check_replicas_are_mirrors_in_tests(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django would make an empty test database for the replica, and every read in a test would find nothing."""
    return [
        checks.Warning(
            f"In tests the replica {alias!r} would be a database of its own, which nobody fills.",
            hint=f'Give DATABASES[{alias!r}] the key "TEST": {{"MIRROR": {primary_alias()!r}}}.',
            id="dbrouting.W101",
        )
        for alias in replica_weights()
        if not _fault_of(alias) and connections.settings[alias]["TEST"]["MIRROR"] != primary_alias()
    ]


@register(TAG)
def check_router_is_last(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """It answers for every model, so that a router behind it is never asked."""
    classes = [import_string(item) if isinstance(item, str) else type(item) for item in settings.DATABASE_ROUTERS]
    if classes and issubclass(classes[-1], PrimaryReplicaRouter):
        return []
    return [
        Error(
            f"{ROUTER} is not the last of DATABASE_ROUTERS.",
            hint="Put it at the end: it answers for every model that no router before it claims.",
            id="dbrouting.E104",
        )
    ]


@register(TAG)
def check_middleware_is_first(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return [
            Error(
                f"MIDDLEWARE lacks {MIDDLEWARE}: a thread's requests share their pins, and a client who wrote may "
                "read old rows.",
                hint=f'Put "{MIDDLEWARE}" first.',
                id="dbrouting.E105",
            )
        ]
    if settings.MIDDLEWARE[0] != MIDDLEWARE:
        return [
            checks.Warning(
                f"{MIDDLEWARE} is not first in MIDDLEWARE.",
                hint="What comes before it reads and writes outside of the request's unit of work. Put it first.",
                id="dbrouting.W102",
            )
        ]
    return []


@register(TAG)
def check_users_are_read_on_the_primary(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    user_label = get_user_model()._meta.app_label
    return [
        Error(
            f"{label} is not in PRIMARY_ONLY_APPS: replicas would answer who is logged in and what they may do.",
            hint=f'Add "{label}" to PRIMARY_ONLY_APPS in config/databases.py.',
            id="dbrouting.E106",
        )
        for label in (user_label, *ALWAYS_FRESH)
        if label not in settings.PRIMARY_ONLY_APPS and _is_ours(label)
    ]


@register(TAG)
def check_pin_seconds(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Below 0 every pin would have ended before it began."""
    if settings.PRIMARY_PIN_SECONDS >= 0:
        return []
    return [
        Error(
            f"PRIMARY_PIN_SECONDS is {settings.PRIMARY_PIN_SECONDS}.",
            hint="It takes seconds, longer than a replica ever lags behind; 0 pins the writing request only.",
            id="dbrouting.E107",
        )
    ]


def _is_ours(label: str) -> bool:
    """Whether the app is on the primary, rather than where another router has it."""
    models = apps.get_app_config(label).get_models() if label in apps.app_configs else ()
    return any(router.db_for_write(model) == primary_alias() for model in models)


def _fault_of(alias: str) -> str | None:
    if alias == primary_alias():
        return "the primary itself"
    if alias not in connections.settings or is_dummy(alias):
        return "not in DATABASES, or empty there"
    return None
