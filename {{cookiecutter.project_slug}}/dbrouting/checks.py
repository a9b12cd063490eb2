"""System checks: what would go wrong on some database, said before it does."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import connections, router
from django.utils.module_loading import import_string

from dbrouting.aliases import usable_aliases
from dbrouting.mapping import DatabaseMapping
from dbrouting.migration_guard import data_operations, unguarded_operations
from dbrouting.overrides import OverrideRouter

TAG = "dbrouting"


@register(TAG)
def check_mapping(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """``in_database({…})`` and unlisted aliases need a mapping that can hold them."""
    if isinstance(settings.DATABASES, DatabaseMapping):
        return []
    return [
        Error(
            "DATABASES is a plain dictionary.",
            hint="Write DATABASES = DatabaseMapping({…}), from dbrouting.mapping, in config/databases.py.",
            id="dbrouting.E001",
        )
    ]


@register(TAG)
def check_override_router(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without the router, ``in_database`` would silently do nothing."""
    routers = [import_string(item) if isinstance(item, str) else type(item) for item in settings.DATABASE_ROUTERS]
    if any(issubclass(router_class, OverrideRouter) for router_class in routers):
        return []
    return [
        Error(
            "DATABASE_ROUTERS has no override router, so in_database() has no effect.",
            hint="Add dbrouting.overrides.OverrideRouter before the routers that it may overrule.",
            id="dbrouting.E002",
        )
    ]


@register(TAG)
def check_unguarded_migrations(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        checks.Warning(
            f"{operation} doesn't say on which database it runs.",
            hint='Decorate the function with @runs_on("alias") from dbrouting.migration_guard, '
            'or give RunSQL hints={"runs_on": "alias"}.',
            id="dbrouting.W001",
        )
        for operation in unguarded_operations()
    ]


@register(TAG)
def check_migrations_run_somewhere(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt alias would make a data migration do nothing, and be recorded as done."""
    return [
        Error(
            f"{operation} runs on {' or '.join(operation.patterns)}, where {operation.app_label} never is.",
            hint=f"Name a database that holds it: {', '.join(_homes(operation.app_label)) or 'there is none'}.",
            id="dbrouting.E003",
        )
        for operation in data_operations()
        if operation.patterns and not any(_may_match(pattern, operation.app_label) for pattern in operation.patterns)
    ]


def _may_match(pattern: str, app_label: str) -> bool:
    """A check must not query, so it can't know which unlisted aliases a shell pattern will find."""
    is_alias = not set("*?[") & set(pattern)
    return not is_alias or (pattern in connections.settings and router.allow_migrate(pattern, app_label))


def _homes(app_label: str) -> list[str]:
    return [alias for alias in usable_aliases() if router.allow_migrate(alias, app_label)]
