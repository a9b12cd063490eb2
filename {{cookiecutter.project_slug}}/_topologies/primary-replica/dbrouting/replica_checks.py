"""System checks of the primary, its replicas, and what keeps their readers from old rows."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import connections, router

from dbrouting import tasks  # noqa: F401  has a check, and follows the worker's tasks
from dbrouting.aliases import apps_on, is_dummy, usable_aliases
from dbrouting.checks import (
    CACHE_LABEL,
    TAG,
    atomic_aliases,
    database_caches,
    middleware_before,
    router_classes,
    unknown_labels,
)
from dbrouting.middleware import PrimaryPinningMiddleware
from dbrouting.probing import address_of
from dbrouting.reachability import variable_of
from dbrouting.replica_routers import ReplicatedAppsRouter
from dbrouting.replicas import is_replica, primary_alias, replica_weights

SETTINGS = (
    "PRIMARY_ALIAS",
    "PRIMARY_ONLY_APPS",
    "PRIMARY_PIN_COOKIE",
    "PRIMARY_PIN_COOKIE_AGE",
    "PRIMARY_PIN_HEADER",
    "PRIMARY_PIN_SECONDS",
    "REPLICA_CHECK_SECONDS",
    "REPLICA_COOLDOWN_SECONDS",
    "REPLICA_DATABASES",
    "REPLICA_MAX_LAG_SECONDS",
    "REPLICA_POSITIONS",
)
IN_SECONDS = (
    "PRIMARY_PIN_COOKIE_AGE",
    "PRIMARY_PIN_SECONDS",
    "REPLICA_CHECK_SECONDS",
    "REPLICA_COOLDOWN_SECONDS",
    "REPLICA_MAX_LAG_SECONDS",
)
MIDDLEWARE = f"{PrimaryPinningMiddleware.__module__}.{PrimaryPinningMiddleware.__qualname__}"
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
def check_servers_differ(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A replica of its own is what spares the primary, and answers when another is down.

    In development the primary's own address will do. On SQLite, which has no replication, all are one file.
    """
    if primary_alias() not in usable_aliases() or connections[primary_alias()].vendor == "sqlite":
        return []
    sharing = defaultdict(list)
    for alias in (primary_alias(), *replica_weights()):
        if alias in usable_aliases() and not connections.settings[alias]["TEST"].get("MOVED"):
            sharing[address_of(connections.settings[alias])].append(alias)
    return [
        CheckMessage(
            checks.INFO if settings.DEBUG and primary_alias() in aliases else checks.WARNING,
            f"The aliases {' and '.join(map(repr, aliases))} lead to one database.",
            hint=f"Give {variable_of(aliases[-1])} the address of another server, or take it out.",
            id="dbrouting.W107",
        )
        for aliases in sharing.values()
        if len(aliases) > 1
    ]


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
def check_replicated_apps(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Beside other databases: another app's queries would look for its tables where they aren't."""
    labels = sorted(getattr(settings, "REPLICATED_APPS", ()))
    unknown = unknown_labels(labels)
    return [
        Error(
            f"REPLICATED_APPS names {label!r}, which {fault}.",
            hint=f"It lists the apps whose tables are on {primary_alias()!r}: mend it in config/databases.py.",
            id="dbrouting.E113",
        )
        for label in labels
        if (fault := _fault_of_app(label, unknown))
    ]


def _fault_of_app(label: str, unknown: list[str]) -> str:
    if label in unknown:
        return "is no installed app's label"
    return "" if router.allow_migrate(primary_alias(), label) else f"has no tables on {primary_alias()!r}"


@register(TAG)
def check_replicated_apps_are_routed(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The last router answers for every model: those that it has an answer for would never read a replica."""
    if not hasattr(settings, "REPLICATED_APPS"):
        return []
    if any(issubclass(one, ReplicatedAppsRouter) for one in router_classes()[:-1]):
        return []
    path = f"{ReplicatedAppsRouter.__module__}.{ReplicatedAppsRouter.__qualname__}"
    return [
        Error(
            f"REPLICATED_APPS is set, and {path} is not before the last of DATABASE_ROUTERS: no replica is read.",
            hint="Put it behind the override router, before the router of the other databases.",
            id="dbrouting.E114",
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
    if before := middleware_before(MIDDLEWARE):
        return [
            checks.Warning(
                f"{MIDDLEWARE} is not first in MIDDLEWARE: it comes after {', '.join(before)}.",
                hint="What comes before it reads and writes outside of the request's unit of work. Put it first.",
                id="dbrouting.W102",
            )
        ]
    return []


@register(TAG)
def check_no_page_is_cached_for_all(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The cache's key knows of no pin, unless the page varies by cookie."""
    return [
        checks.Warning(
            f"{path} keeps pages that may show old rows to a client who has just written.",
            hint="Take it out of MIDDLEWARE, and put @cache_page on views whose rows their visitors don't change.",
            id="dbrouting.W103",
        )
        for path in settings.MIDDLEWARE
        if path == "django.middleware.cache.UpdateCacheMiddleware"
    ]


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
def check_seconds(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Below 0 every pin would have ended before it began, and the threads that watch the replicas would die."""
    return [
        Error(
            f"{name} is {value!r}.",
            hint="Mend it in config/databases.py: it takes a number of seconds, 0 or more.",
            id="dbrouting.E107",
        )
        for name in IN_SECONDS
        if not isinstance(value := getattr(settings, name), int | float) or not 0 <= value < float("inf")
    ]


@register(TAG)
def check_pin_header(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Servers drop requests, or the header, if its name has other characters; so they do with an underscore."""
    if re.fullmatch("[A-Za-z0-9-]*", settings.PRIMARY_PIN_HEADER):
        return []
    return [
        Error(
            f"PRIMARY_PIN_HEADER is {settings.PRIMARY_PIN_HEADER!r}, which no header can be called.",
            hint='It takes letters, digits and hyphens, such as "X-Primary-Pin"; nothing for no header.',
            id="dbrouting.E112",
        )
    ]


@register(TAG)
def check_pin_cookie_is_its_own(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"PRIMARY_PIN_COOKIE is {settings.PRIMARY_PIN_COOKIE!r}, like {name}: each write would overwrite it.",
            hint="Give PRIMARY_PIN_COOKIE in config/databases.py a name of its own.",
            id="dbrouting.E108",
        )
        for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "LANGUAGE_COOKIE_NAME")
        if getattr(settings, name) == settings.PRIMARY_PIN_COOKIE
    ]


@register(TAG)
def check_sessions_are_saved_when_they_change(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if not settings.SESSION_SAVE_EVERY_REQUEST or not settings.SESSION_ENGINE.endswith("db"):
        return []
    return [
        checks.Warning(
            "SESSION_SAVE_EVERY_REQUEST is on: whoever has a session writes on each request, and so reads the primary.",
            hint="Turn it off, or keep sessions in a cache.",
            id="dbrouting.W105",
        )
    ]


@register(TAG)
def check_cache_is_read_on_the_primary(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A replica would still have what was replaced, and not yet what was stored."""
    return [
        checks.Warning(
            f"The cache {alias!r} is a table, and a replica answers for it: it may lack what was stored just now.",
            hint=f'Use a cache that is no table, or add "{CACHE_LABEL}" to PRIMARY_ONLY_APPS in config/databases.py.',
            id="dbrouting.W106",
        )
        for alias in database_caches()
        if CACHE_LABEL not in settings.PRIMARY_ONLY_APPS
    ]


@register(TAG)
def check_replicas_have_no_tables(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A replica gets its tables by replication: migrating it fails, or parts it from the primary."""
    return [
        Error(
            f"DATABASE_ROUTERS allow {', '.join(labels)} on the replica {alias!r}: `migrate` would make tables there.",
            hint="Let allow_migrate() of the router that does so return False, or None, for a replica.",
            id="dbrouting.E109",
        )
        for alias in replica_weights()
        if not _fault_of(alias) and (labels := apps_on(alias))
    ]


@register(TAG)
def check_atomic_requests(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    on_replicas = [
        Error(
            f"ATOMIC_REQUESTS of the replica {alias!r} opens a transaction there on each request, whichever it reads.",
            hint=f"Turn it off in {variable_of(alias)}: there is nothing to roll back.",
            id="dbrouting.E111",
        )
        for alias in atomic_aliases()
        if is_replica(alias)
    ]
    on_the_primary = [
        checks.Warning(
            f"ATOMIC_REQUESTS of {alias!r} keeps everybody on the primary: a transaction reads no replica.",
            hint=f"Turn it off in {variable_of(alias)}, and use atomic_for(Model) from dbrouting.sql.",
            id="dbrouting.W104",
        )
        for alias in atomic_aliases()
        if alias == primary_alias() and replica_weights()
    ]
    return [*on_replicas, *on_the_primary]


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
