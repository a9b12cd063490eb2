"""What ``on_delete`` of a reference does to rows in another database: soon after the deletion, and durably.

A deletion writes a message for each reference that has to follow it, in its own transaction. Deletions that Django
doesn't see (raw SQL, TRUNCATE, historical models in a migration) write none: ``check_references`` finds what they left.
"""

from typing import Any

from django.apps import apps
from django.db.models import DO_NOTHING, Model
from django.db.models.signals import post_delete

from dbrouting.references import BATCH, REFUSING, CrossDatabaseForeignKey, apply_rule, reference_named, references
from dbrouting.routers import home_of_model
from outbox.registry import MORE, Answer, handler
from outbox.sending import send

CASCADE_HANDLER = "outbox.cascade"


def connect() -> None:
    """Listen to models that are referred to, and to no others: those keep Django's fast deletions."""
    targets = {field.remote_field.model._meta.concrete_model for field in references() if is_followed(field)}
    for model in apps.get_models():
        if model._meta.concrete_model in targets:
            post_delete.connect(note_deletion, sender=model, dispatch_uid="outbox.cascades")


def is_followed(field: CrossDatabaseForeignKey) -> bool:
    return field.rule not in (*REFUSING, DO_NOTHING)


def note_deletion(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    """A copy of the row in another database than its home may go without consequences."""
    if using != home_of_model(sender):
        return
    for field in references_to(sender):
        if (key := key_as_text(field, instance)) is not None:
            send(CASCADE_HANDLER, {"reference": str(field), "key": key}, using=using)


def key_as_text(field: CrossDatabaseForeignKey, instance: Model) -> str | None:
    """Of which the field makes the same key again, as JSON can't: a time would lose its microseconds."""
    target = field.target_field
    return None if target.value_from_object(instance) is None else target.value_to_string(instance)


def references_to(model: type[Model]) -> list[CrossDatabaseForeignKey]:
    """Those to the model's own table; its parents are deleted, and noted, by themselves."""
    fields: Any = model._meta.get_fields(include_hidden=True)
    return [
        related.field
        for related in fields
        if related.one_to_many
        and isinstance(related.field, CrossDatabaseForeignKey)
        and related.field.remote_field.model._meta.concrete_model is model._meta.concrete_model
        and is_followed(related.field)
    ]


def app_of_reference(payload: Any) -> str:
    return reference_named(payload["reference"]).model._meta.app_label


@handler(CASCADE_HANDLER, on=app_of_reference)
def follow(payload: Any) -> Answer | None:
    """Not if the row has come back meanwhile, as one that a fixture restores."""
    field = reference_named(payload["reference"])
    key, target = field.target_field.to_python(payload["key"]), field.remote_field.model
    if target._base_manager.using(home_of_model(target)).filter(**{field.target_field.attname: key}).exists():
        return None
    return MORE if apply_rule(field, [key]) == BATCH else None
