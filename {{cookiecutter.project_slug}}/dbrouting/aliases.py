"""The aliases there are, and what the routers allow on each: tools ask them, so that a rule is written once."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import connections, router

from dbrouting.mapping import DatabaseConfig, DatabaseMapping


def is_dummy(alias: str) -> bool:
    """Whether ``alias`` has no database behind it: ``DATABASES["default"] = {}``."""
    return bool(connections.settings[alias].get("ENGINE") == "django.db.backends.dummy")


def usable_aliases() -> list[str]:
    """Every listed alias that can be connected to."""
    return [alias for alias in connections if not is_dummy(alias)]


def is_somebody_elses(alias: str) -> bool:
    """Whether ``alias`` is only read: another system's, or a copy of one of ours, which may have its tables late."""
    config = connections.settings[alias]
    return bool(config["TEST"]["MIRROR"]) or "READ_ONLY" in config


def is_listed(alias: str) -> bool:
    """Whether Django knows of ``alias`` without being asked for it."""
    return alias in list(connections)


def unlisted_aliases() -> Iterator[str]:
    """The aliases that ``DATABASES`` can find but doesn't list; they may be looked up in a table."""
    databases = connections.settings
    if isinstance(databases, DatabaseMapping):
        yield from (alias for alias in databases.unlisted() if not is_listed(alias))


@contextmanager
def lent(config: DatabaseConfig) -> Iterator[str]:
    """An alias for ``config`` in the block, whose connections are closed with it; routing stays as it is."""
    databases = connections.settings
    assert isinstance(databases, DatabaseMapping)
    alias = databases.lend(config)
    try:
        yield alias
    finally:
        databases.give_back(alias)


def let_go(alias: str) -> None:
    """Close this thread's connection to ``alias``, unless it is in a transaction: for commands that visit many."""
    if not connections[alias].in_atomic_block:
        connections[alias].close()


def apps_on(alias: str) -> list[str]:
    """Labels of the apps that have at least one table on ``alias``."""
    return [
        config.label
        for config in apps.get_app_configs()
        if any(
            model._meta.managed and not model._meta.proxy and router.allow_migrate_model(alias, model)
            for model in config.get_models(include_auto_created=True)
        )
    ]


def lives_on(app_label: str | None, alias: str) -> bool:
    """Whether ``app_label`` (any app, if ``None``) may have tables on ``alias``."""
    if app_label is None:
        return bool(apps_on(alias))
    has_models = any(apps.get_app_config(app_label).get_models())
    return app_label in apps_on(alias) if has_models else router.allow_migrate(alias, app_label)


def migratable_aliases() -> Iterator[str]:
    """The aliases that hold tables, those with the content types first: other apps' migrations look them up."""
    from django.contrib.contenttypes.models import ContentType  # models can't be imported before the apps are ready

    listed = [alias for alias in usable_aliases() if apps_on(alias)]
    yield from sorted(listed, key=lambda alias: not router.allow_migrate_model(alias, ContentType))
    yield from (alias for alias in unlisted_aliases() if apps_on(alias))
