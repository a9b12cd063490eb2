"""System checks of the map from apps to databases."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model

from dbrouting.aliases import is_dummy
from dbrouting.checks import TAG
from dbrouting.routers import home_of, home_of_model

SETTINGS = ("DATABASE_APPS_MAPPING",)
CONTRIB_LABELS = ("admin", "auth", "contenttypes", "sessions")


@register(TAG)
def check_mapping_names(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt label would leave the app on ``default``, a misspelt alias would fail at the first query."""
    mapping = settings.DATABASE_APPS_MAPPING
    unknown_labels = [
        Error(
            f"DATABASE_APPS_MAPPING names {label!r}, which is no installed app's label.",
            hint=f"The labels are: {', '.join(sorted(apps.app_configs))}.",
            id="dbrouting.E201",
        )
        for label in mapping
        if label not in apps.app_configs
    ]
    unknown_aliases = [
        Error(
            f"DATABASE_APPS_MAPPING puts {label} on {alias!r}, which DATABASES doesn't have, or has empty.",
            hint=f"The aliases are: {', '.join(connections)}.",
            id="dbrouting.E202",
        )
        for label, alias in mapping.items()
        if alias not in connections.settings or is_dummy(alias)
    ]
    return [*unknown_labels, *unknown_aliases]


@register(TAG)
def check_contrib_lives_together(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Their tables have foreign keys to each other's; ``migrate`` dies on an empty server if one is missing."""
    user_label = settings.AUTH_USER_MODEL.partition(".")[0]
    home = home_of(user_label)
    return [
        Error(
            f"{label} lives on {home_of(label)!r}, {user_label} on {home!r}, and their tables refer to each other.",
            hint=f'Add "{label}": "{home}" to DATABASE_APPS_MAPPING in config/databases.py.',
            id="dbrouting.E203",
        )
        for label in CONTRIB_LABELS
        if label in apps.app_configs and home_of(label) != home
    ]


@register(TAG)
def check_every_app_is_mapped(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Nobody decided where an unmapped app lives; that is an error if ``default`` is empty."""
    unmapped = [
        config.label
        for config in apps.get_app_configs()
        if config.label not in settings.DATABASE_APPS_MAPPING and any(config.get_models())
    ]
    if not unmapped:
        return []
    level, code = (checks.ERROR, "E204") if is_dummy(DEFAULT_DB_ALIAS) else (checks.INFO, "I201")
    return [
        CheckMessage(
            level,
            f'Apps that DATABASE_APPS_MAPPING doesn\'t name, and that so live on "default": {", ".join(unmapped)}.',
            hint="Name the database of each in config/databases.py.",
            id=f"dbrouting.{code}",
        )
    ]


@register(TAG)
def check_relations_stay_in_one_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """No database can join, constrain or cascade into another."""
    return [
        Error(
            f"{field.model._meta.label}.{field.name} relates {field.model._meta.app_label} on "
            f"{home_of_model(field.model)!r} to {_target(field)._meta.app_label} on {home_of_model(_target(field))!r}.",
            hint="Store the id in a plain indexed field, as orders.Order.customer_id is, or map both to one alias.",
            obj=field.model,
            id="dbrouting.E205",
        )
        for field in _relations()
        if home_of_model(field.model) != home_of_model(_target(field))
    ]


def _relations() -> "Iterator[Field[Any, Any]]":
    for model in apps.get_models():
        yield from (
            field for field in (*model._meta.local_fields, *model._meta.local_many_to_many) if field.is_relation
        )


def _target(field: "Field[Any, Any]") -> type[Model]:
    return cast(type[Model], field.related_model)
