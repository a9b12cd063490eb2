"""Writes go to the primary. Reads go to a replica, unless they must see what was written a moment ago."""

import asyncio
import threading
from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Model

from dbrouting.pinning import current_unit, innermost_primary_block
from dbrouting.replicas import is_replica, roles


class ReplicaRouter:
    """What holds for every model that has replicas."""

    def db_for_read(self, model: type[Model], instance: Model | None = None, **hints: Any) -> str | None:
        unit = current_unit()
        label = model._meta.app_label
        if unit.pinned or innermost_primary_block() or label in roles.primary_only_apps or is_in_transaction():
            return roles.primary
        return (instance is not None and origin_of(instance)) or unit.replica

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return roles.primary

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return True if is_here(first) and is_here(second) else None


class ReplicatedAppsRouter(ReplicaRouter):
    """Answers for ``REPLICATED_APPS``, those on one database of several; the others are the next routers' affair."""

    def db_for_read(self, model: type[Model], instance: Model | None = None, **hints: Any) -> str | None:
        return super().db_for_read(model, instance, **hints) if is_ours(model, instance) else None

    def db_for_write(self, model: type[Model], instance: Model | None = None, **hints: Any) -> str | None:
        return roles.primary if is_ours(model, instance) else None

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        are_ours = is_replicated(first.__class__) and is_replicated(second.__class__)
        return super().allow_relation(first, second, **hints) if are_ours else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """A replica gets its tables from the primary, by replication."""
        return False if is_replica(db) else None


def is_ours(model: type[Model], instance: Model | None) -> bool:
    """Not what is seen from an object that was read in a third database, such as an archive: it may stay there."""
    if not is_replicated(model):
        return False
    return instance is None or is_here(instance) or not is_replicated(instance.__class__)


def is_replicated(model: type[Model]) -> bool:
    """Whether the model's table is on the primary; a proxy may be in another app than its table.

    A cache's table in a database has no real model behind it, only an app label: ``django_cache``.
    """
    concrete = model._meta.concrete_model if model._meta.proxy else None
    return (concrete or model)._meta.app_label in roles.replicated_apps


def is_in_transaction() -> bool:
    """Whether a transaction is open on the primary, whose rows nobody else can see.

    Those that a ``TestCase`` opens around each test don't count: with them a test would never read a replica.
    """
    return has_transaction(_thread.primary or primary_connection())


class _Thread(threading.local):
    primary: BaseDatabaseWrapper | None = None


_thread = _Thread()


def primary_connection() -> BaseDatabaseWrapper:
    """This thread's, which is remembered: to look it up takes as long as all the rest of a decision.

    Not where an event loop runs: there each task has one of its own.
    """
    connection = connections[roles.primary]
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _thread.primary = connection
    return connection


def look_up_again(**kwargs: object) -> None:
    """What was connected may be another object than the one that was remembered."""
    _thread.primary = None


connection_created.connect(look_up_again)
setting_changed.connect(look_up_again)


def has_transaction(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block:
        return not all(block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]  # Django's mark
    return connection.connection is not None and not connection.autocommit


def origin_of(instance: Model) -> str | None:
    """The database ``instance`` came from, if it is one where its related rows agree with it."""
    alias = instance._state.db
    return alias if alias and is_one_of_us(alias) else None


def is_one_of_us(alias: str) -> bool:
    return alias == roles.primary or is_replica(alias)


def is_here(instance: Model) -> bool:
    """Whether ``instance`` is on the primary or a replica, or may yet be saved there."""
    return instance._state.db is None or is_one_of_us(instance._state.db)
