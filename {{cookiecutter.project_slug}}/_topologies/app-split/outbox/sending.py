"""Write here, then do that there: the second is recorded in the transaction of the first."""

import json
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, router, transaction
from django.db.models import Model

from outbox.draining import drain_soon
from outbox.models import Message
from outbox.registry import OutboxError, handler_named


def send(handler: str, payload: Any, *, using: str | None = None, model: type[Model] | None = None) -> Message:
    """Have ``handler`` called with ``payload`` once the open transaction is committed, and not if it is rolled back.

    The transaction is the one on ``using``, or where ``model`` is written. ``payload`` is anything that JSON can hold.

    >>> with atomic_for(Order):
    ...     order.save()
    ...     send("billing.refund", {"order": order.pk}, model=Order)
    """
    alias = using or (router.db_for_write(model) if model else None)
    if alias is None:
        raise TypeError("send() needs using=alias or model=Model: the database of the transaction.")
    text = json.dumps(payload, cls=DjangoJSONEncoder)
    handler_named(handler).alias(json.loads(text))  # a name or an app that isn't there is an error of the sender
    require_transaction(alias, handler)
    message = Message.objects.using(alias).create(handler=handler, payload=text)
    if settings.OUTBOX_DRAIN_AFTER_COMMIT:
        # No partial: Django 5.2 can't name one in its log, and the failure would be the caller's after all.
        transaction.on_commit(lambda: drain_soon(message), using=alias, robust=True)
    return message


def require_transaction(alias: str, handler: str) -> None:
    if not connections[alias].in_atomic_block:
        raise OutboxError(
            f"send({handler!r}) outside of a transaction on {alias!r}: what it is about and the message could not be "
            "committed together. Do both in one block: with atomic_for(Model), from dbrouting.sql."
        )
