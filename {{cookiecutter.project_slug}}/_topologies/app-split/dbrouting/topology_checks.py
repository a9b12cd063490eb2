"""System checks of the map from apps to databases."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import DO_NOTHING

from dbrouting import content_types, refused_joins  # noqa: F401  receivers: of renamed models, and of new connections
from dbrouting.aliases import is_dummy, usable_aliases
from dbrouting.checks import (
    CACHE_LABEL,
    TAG,
    atomic_aliases,
    database_caches,
    router_classes,
    unknown_labels,
    unrouted_models,
    user_labels,
)
from dbrouting.reachability import variable_of
from dbrouting.read_only import is_read_only
from dbrouting.reference_admin import faults_of_admins
from dbrouting.references import REFUSING, CrossDatabaseForeignKey, name_of, references
from dbrouting.relations import Databases, relations_across
from dbrouting.routers import OUTBOX, AppSplitRouter, home_of, home_of_model

SETTINGS = ("DATABASE_APPS_MAPPING",)


@register(TAG)
def check_mapping_names(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt label would leave the app on ``default``, a misspelt alias would fail at the first query."""
    mapping = settings.DATABASE_APPS_MAPPING
    misspelt_labels = [
        Error(
            f"DATABASE_APPS_MAPPING names {label!r}, which is no installed app's label.",
            hint=f"The labels are: {', '.join(sorted(apps.app_configs))}.",
            id="dbrouting.E201",
        )
        for label in unknown_labels(mapping)
    ]
    misspelt_aliases = [
        Error(
            f"DATABASE_APPS_MAPPING puts {label} on {alias!r}, which DATABASES doesn't have, or has empty.",
            hint=f"The aliases are: {', '.join(usable_aliases())}.",
            id="dbrouting.E202",
        )
        for label, alias in mapping.items()
        if not is_usable(alias)
    ]
    return [*misspelt_labels, *misspelt_aliases]


def is_usable(alias: str) -> bool:
    return alias in connections.settings and not is_dummy(alias)


@register(TAG)
def check_contrib_lives_together(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Their tables have foreign keys to each other's; ``migrate`` dies on an empty server if one is missing."""
    user_label, *others = user_labels()
    home = home_of(user_label)
    return [
        Error(
            f"{label} lives on {home_of(label)!r}, {user_label} on {home!r}, and their tables refer to each other.",
            hint=f'Add "{label}": "{home}" to DATABASE_APPS_MAPPING in config/databases.py.',
            id="dbrouting.E203",
        )
        for label in others
        if home_of(label) != home
    ]


@register(TAG)
def check_every_app_is_mapped(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Nobody decided where an unmapped app lives; that is an error if ``default`` is empty."""
    labels = [config.label for config in apps.get_app_configs() if any(config.get_models()) and config.label != OUTBOX]
    labels += [CACHE_LABEL] if database_caches() else []
    unmapped = [label for label in labels if label not in settings.DATABASE_APPS_MAPPING]
    if not unmapped:
        return []
    level, code = (checks.ERROR, "dbrouting.E204") if is_dummy(DEFAULT_DB_ALIAS) else (checks.INFO, "dbrouting.I201")
    return [
        CheckMessage(
            level,
            f'Apps that DATABASE_APPS_MAPPING doesn\'t name, and that so live on "default": {", ".join(unmapped)}.',
            hint="Name the database of each in config/databases.py.",
            id=code,
        )
    ]


@register(TAG)
def check_every_model_has_a_home(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Beside the map, which has checks of its own: a router in front of it may refuse a model."""
    return [message for message in unrouted_models(usable_aliases()) if is_usable(home_of(message.obj))]


@register(TAG)
def check_read_only_databases_are_left_alone(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Neither ``migrate`` nor the consequences of a deletion may write there."""
    read_only = [alias for alias in usable_aliases() if is_read_only(alias)]
    tables = [
        Error(
            f"{model._meta.label} lives on {home_of_model(model)!r}, which is read-only: no migration makes its table.",
            hint=f"Give its Meta managed = False, or map {model._meta.app_label} to another alias.",
            obj=model,
            id="dbrouting.E211",
        )
        for model in apps.get_models()
        if model._meta.managed and not model._meta.proxy and home_of_model(model) in read_only
    ]
    rules = [
        Error(
            f"{field} is on {home_of_model(field.model)!r}, which is read-only: on_delete={name_of(field.rule)} can't "
            "be done there.",
            hint="Use on_delete=DO_NOTHING, or PROTECT to refuse the deletion.",
            obj=field.model,
            id="dbrouting.E212",
        )
        for field in references()
        if home_of_model(field.model) in read_only and field.rule not in (DO_NOTHING, *REFUSING)
    ]
    return [*tables, *rules]


@register(TAG)
def check_relations_stay_in_one_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    names = {alias: repr(alias) for alias in usable_aliases()}
    databases = Databases(names, "map both apps to one alias", reference="CrossDatabaseForeignKey")
    return relations_across(databases, "dbrouting.E205")


@register(TAG)
def check_pairs_of_references(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A many-to-many field joins its pairs with both ends, wherever they are."""
    return [
        Error(
            f"{field} goes through {end.model._meta.label}, whose {end.name} can't be joined.",
            hint=f"Leave the field out, and query {end.model._meta.label} by ids.",
            obj=model,
            id="dbrouting.E210",
        )
        for model in apps.get_models()
        for field in model._meta.local_many_to_many
        for end in references_of(field.remote_field.through)
        if end.remote_field.model in (model, field.related_model)
    ]


def references_of(model: Any) -> list[CrossDatabaseForeignKey]:
    """None of a name that leads nowhere, which Django reports."""
    fields: Any = getattr(model, "_meta", None) and model._meta.local_fields
    return [field for field in fields or () if isinstance(field, CrossDatabaseForeignKey)]


@register(TAG)
def check_admins_join_no_references(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return list(faults_of_admins())


@register(TAG)
def check_router_is_last(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without it the map is not looked at; a router behind it is never asked, for it answers for every model."""
    if any(issubclass(last, AppSplitRouter) for last in router_classes()[-1:]):
        return []
    return [
        Error(
            "dbrouting.routers.AppSplitRouter is not the last of DATABASE_ROUTERS.",
            hint="Put it at the end: it answers for every model that no router before it claims.",
            id="dbrouting.E206",
        )
    ]


@register(TAG)
def check_atomic_requests(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    aliases = atomic_aliases()
    if not aliases:
        return []
    return [
        checks.Warning(
            f"ATOMIC_REQUESTS of {', '.join(map(repr, aliases))} opens a transaction there on each request, and none "
            "covers what the request writes elsewhere.",
            hint=f"Turn it off in {' and '.join(map(variable_of, aliases))}, and use atomic_for(Model) from "
            "dbrouting.sql where rows belong together.",
            id="dbrouting.W201",
        )
    ]
