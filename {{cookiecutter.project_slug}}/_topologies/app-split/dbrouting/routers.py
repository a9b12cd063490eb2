"""Each app lives in one database: ``settings.DATABASE_APPS_MAPPING`` says in which."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

# The one app that is in every database that holds tables, for it writes in the transactions of the others.
OUTBOX = "outbox"


class AppSplitRouter:
    """Reads, writes and tables of an app on its own alias; relations only between apps that share one."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return alias_near(hints.get("instance"), model)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return alias_near(hints.get("instance"), model)

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        return alias_of(first) == alias_of(second)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return holds_tables(db) if app_label == OUTBOX else db == home_of(app_label)


def home_of(app_label: str) -> str:
    """The alias that ``app_label`` lives on."""
    alias: str = settings.DATABASE_APPS_MAPPING.get(app_label, DEFAULT_DB_ALIAS)
    return alias


def holds_tables(alias: str) -> bool:
    """Whether the map puts an app on ``alias`` that migrations make tables for: others may not be ours to write to."""
    return any(
        model._meta.managed and not model._meta.proxy and home_of(model._meta.app_label) == alias
        for model in apps.get_models()
        if model._meta.app_label != OUTBOX
    )


def home_of_model(model: type[Model]) -> str:
    """The alias of the model's table; a proxy may be in another app than its table.

    A cache's table in a database has no real model behind it, only an app label: ``django_cache``.
    """
    concrete = model._meta.concrete_model if model._meta.proxy else None
    return home_of((concrete or model)._meta.app_label)


def alias_near(instance: Model | None, model: type[Model]) -> str:
    """Where the rows of ``model`` are, as seen from ``instance``.

    An object that was read elsewhere, through an override or ``.using()``, goes back where it came from when it is
    saved, and finds the rows of the apps that share its home beside it. It may be a lazy proxy, as ``request.user`` is,
    whose ``type()`` is no model.
    """
    home = home_of_model(model)
    if instance is None or home_of_model(instance.__class__) != home:
        return home
    return instance._state.db or home


def alias_of(instance: Model) -> str:
    """Where ``instance`` is, or will be once it is saved."""
    return instance._state.db or home_of_model(instance.__class__)
