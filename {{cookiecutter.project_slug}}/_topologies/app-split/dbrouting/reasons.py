"""What the router of this topology has in mind, for those who ask why."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from django.conf import settings
from django.db.models import Model

from dbrouting.read_only import is_read_only
from dbrouting.routers import OUTBOX, AppSplitRouter

NOT_MAPPED = "not in DATABASE_APPS_MAPPING, so default"
IN_EVERY_DATABASE = "in every database that holds tables, and asked for by alias"
READ_ONLY = "read-only, so that it raises ReadOnlyDatabaseError"
# Decisions that nobody took.
BY_DEFAULT = frozenset({NOT_MAPPED})
# Those to have a table also where the routers send no query.
EVERYWHERE = frozenset({IN_EVERY_DATABASE})
# What a diagram shows beside the routing: from, to, what.
LINKS: tuple[tuple[str, str, str], ...] = ()


def situations(for_diagram: bool = False) -> Iterator[tuple[str, AbstractContextManager[object]]]:
    """The map holds everywhere."""
    yield "", nullcontext()


def pattern_of(alias: str) -> str:
    """Every alias stands for itself."""
    return alias


def why(router: object, operation: str, model: type[Model], alias: str | None) -> str:
    if not isinstance(router, AppSplitRouter):
        return ""
    if operation == "write" and alias and is_read_only(alias):
        return READ_ONLY
    label = (model._meta.concrete_model or model)._meta.app_label
    if label == OUTBOX:
        return IN_EVERY_DATABASE
    return f'DATABASE_APPS_MAPPING["{label}"]' if label in settings.DATABASE_APPS_MAPPING else NOT_MAPPED
