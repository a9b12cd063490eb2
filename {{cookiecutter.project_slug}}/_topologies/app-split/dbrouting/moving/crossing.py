"""The relations between a model of the app and one of another app: what each of them is once the app has moved."""

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Model

from dbrouting.moving.move import Move
from dbrouting.relations import AnyField, fields_of, is_loose, targets_of, way_out
from dbrouting.routers import home_of_model

REFERENCE = "CrossDatabaseForeignKey"


def relations(move: Move) -> Iterator[str]:
    with move.as_if_switched():
        for field, target in border(move.app_label):
            source = field.model._meta.label
            yield f"{source}.{field.name} -> {target._meta.label}: {future_of(field, target)}"


def border(app_label: str) -> Iterator[tuple[AnyField, type[Model]]]:
    """In both directions."""
    for model in apps.get_models():
        for field in fields_of(model):
            for target in targets_of(field):
                if (model._meta.app_label == app_label) != (target._meta.app_label == app_label):
                    yield field, target


def future_of(field: AnyField, target: type[Model]) -> str:
    here, there = home_of_model(field.model), home_of_model(target)
    if here == there:
        return f"both are on {here!r} then."
    if getattr(field, "crosses_databases", False):
        return f"leads from {here!r} to {there!r} then, as it may."
    if is_loose(field):
        return f"leads from {here!r} to {there!r} then, and no query can follow it."
    return f"breaks. {way_out(field, REFERENCE)}; deploy that before."
