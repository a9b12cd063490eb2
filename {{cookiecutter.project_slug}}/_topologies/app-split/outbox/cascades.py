"""What ``on_delete`` of a reference does to rows in another database: soon after the deletion, and durably.

A deletion writes, in its own transaction, a message for many keys of each reference that has to follow it. Deletions
that Django doesn't see (raw SQL, TRUNCATE, historical models in a migration) write none: ``check_references`` finds
what they left.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from django.apps import apps
from django.db import IntegrityError, connections
from django.db.models import DO_NOTHING, ManyToOneRel, Model
from django.db.models.signals import post_delete, pre_delete
from django.db.transaction import Atomic, atomic

from dbrouting.references import (
    BATCH,
    REFUSING,
    CrossDatabaseForeignKey,
    apply_rule,
    keys_without_row,
    reference_named,
    references,
)
from dbrouting.routers import home_of_model
from outbox.models import Message
from outbox.registry import MORE, Answer, handler
from outbox.sending import require_transaction, send

CASCADE_HANDLER = "outbox.cascade"
FEW = 5

# The keys of what each deletion under way will delete, by reference. A deletion is known by the block that Django opens
# for it: what one leaves that fails goes with its block.
NOTED: WeakKeyDictionary[Atomic, defaultdict[str, list[str]]] = WeakKeyDictionary()


def connect() -> None:
    """Listen to models that are referred to, and to no others: those keep Django's fast deletions."""
    targets = {field.remote_field.model._meta.concrete_model for field in references() if is_followed(field)}
    for model in apps.get_models():
        if model._meta.concrete_model in targets:
            pre_delete.connect(note_deletion, sender=model, dispatch_uid="outbox.cascades")
            post_delete.connect(send_noted, sender=model, dispatch_uid="outbox.cascades")


def is_followed(field: CrossDatabaseForeignKey) -> bool:
    return field.rule not in (*REFUSING, DO_NOTHING)


def note_deletion(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    """A copy of the row in another database than its home may go without consequences."""
    if using != home_of_model(sender):
        return
    require_transaction(using, CASCADE_HANDLER)
    noted = NOTED.setdefault(connections[using].atomic_blocks[-1], defaultdict(list))
    for field in references_to(sender):
        if (key := key_as_text(field, instance)) is not None:
            noted[str(field)].append(key)


def send_noted(using: str, **kwargs: Any) -> None:
    """When the first row of a deletion is gone: Django has announced all of them before."""
    blocks = connections[using].atomic_blocks
    for reference, keys in NOTED.pop(blocks[-1], {}).items() if blocks else ():
        for start in range(0, len(keys), BATCH):
            send_keys(reference, keys[start : start + BATCH], using)


def send_keys(reference: str, keys: list[str], using: str) -> None:
    send(CASCADE_HANDLER, {"reference": reference, "keys": keys}, using=using)


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
        if isinstance(related, ManyToOneRel)
        and isinstance(related.field, CrossDatabaseForeignKey)
        and related.field.remote_field.model._meta.concrete_model is model._meta.concrete_model
        and is_followed(related.field)
    ]


def app_of_reference(payload: Any) -> str:
    return reference_named(payload["reference"]).model._meta.app_label


@handler(CASCADE_HANDLER, on=app_of_reference)
def follow(payload: Any) -> Answer | None:
    """Not for rows that have come back meanwhile, as those that a fixture restores."""
    field = reference_named(payload["reference"])
    home, keys = home_of_model(field.model), [field.target_field.to_python(key) for key in payload["keys"]]
    try:
        with atomic(using=home):
            done = apply_rule(field, keys_without_row(field, keys))
    except IntegrityError:
        if len(keys) == 1:
            raise
        halve(payload, home)
        return None
    return MORE if done == BATCH else None


def halve(payload: Any, using: str) -> None:
    """What refuses one key of many must not keep the others: in the end it is alone in its message."""
    keys = payload["keys"]
    for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
        send_keys(payload["reference"], half, using)


def refusals(field: CrossDatabaseForeignKey) -> Iterator[str]:
    """What failed so far: written where a row was deleted, or where its message was taken apart."""
    for alias in dict.fromkeys((home_of_model(field.target_field.model), home_of_model(field.model))):
        failed = Message.objects.using(alias).filter(handler=CASCADE_HANDLER, attempts__gt=0)
        for message in failed.filter(payload__contains=f'"{field}"').order_by("pk")[:FEW]:
            yield f"{', '.join(message.content['keys'][:FEW])}: {message.last_error}"
