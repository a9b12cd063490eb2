"""Writes go to the primary. Reads go to a replica, unless they must see what was written a moment ago."""

from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from dbrouting.pinning import current_unit, is_pinned_to_primary
from dbrouting.replicas import is_replica, primary_alias


class PrimaryReplicaRouter:
    """Takes what the routers before it leave: it has an answer for every model, so it comes last."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return primary_alias() if must_be_fresh(model) else alias_near(hints.get("instance"))

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return primary_alias()

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return True if is_here(first) and is_here(second) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """A replica gets its tables from the primary, by replication."""
        return db == primary_alias()


def must_be_fresh(model: type[Model]) -> bool:
    """Whether a replica, which may lag behind, must not answer for ``model`` now."""
    return is_pinned_to_primary() or model._meta.app_label in settings.PRIMARY_ONLY_APPS or is_in_transaction()


def is_in_transaction() -> bool:
    """Whether a transaction is open on the primary, whose rows nobody else can see.

    Those that a ``TestCase`` opens around each test don't count: with them a test would never read a replica.
    """
    return has_transaction(connections[primary_alias()])


def has_transaction(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block:
        return not all(block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]  # Django's mark
    return connection.connection is not None and not connection.autocommit


def alias_near(instance: Model | None) -> str:
    """The database ``instance`` came from, where its related rows agree with it; or else the unit's replica."""
    origin = instance._state.db if instance is not None else None
    return origin if origin and is_one_of_us(origin) else current_unit().replica


def is_one_of_us(alias: str) -> bool:
    return alias == primary_alias() or is_replica(alias)


def is_here(instance: Model) -> bool:
    """Whether ``instance`` is on the primary or a replica, or may yet be saved there."""
    return instance._state.db is None or is_one_of_us(instance._state.db)
