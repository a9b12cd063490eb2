"""What was done about messages is known where it was done: a message with a receipt is not handled again."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from outbox.aliases import has_tables, outboxes
from outbox.models import Message, Receipt

# A receipt is of use while its message is there; one that is this old and has none is removed.
KEPT = timedelta(hours=1)
AT_ONCE = 500

RowT = TypeVar("RowT")


def prune(alias: str) -> int:
    """Remove the receipts on ``alias`` that no message can ask for any more; gives how many."""
    receipts = Receipt.objects.using(alias)
    old = receipts.filter(handled_at__lt=timezone.now() - KEPT)
    keys = set(old.order_by("handled_at").values_list("pk", flat=True)[:AT_ONCE])
    for outbox in outboxes():
        keys -= set(Message.objects.using(outbox).filter(key__in=keys).values_list("key", flat=True))
    receipts.filter(pk__in=keys).delete()
    return len(keys)


def carry(source: str, target: str) -> None:
    """An app moves, and its messages will be handled on ``target``: not those that were on ``source``.

    To be called once the app can't be written on ``source`` any more, or a message could be handled there after it.
    Whose app a receipt is of nobody knows: all are carried whose message is there, or that may have one in an outbox
    that can't be asked, and pruned where they are of no use.
    """
    if not (has_tables(source) and has_tables(target)):
        return
    receipts = Receipt.objects.using(source)
    try:
        for outbox in outboxes():
            for keys in parts_of(Message.objects.using(outbox).values_list("key", flat=True)):
                add(receipts.filter(pk__in=keys), target)
    except DatabaseError:
        for part in parts_of(receipts):
            add(part, target)


def parts_of(rows: QuerySet[Any, RowT]) -> Iterator[list[RowT]]:
    found = rows.iterator()
    while part := list(islice(found, AT_ONCE)):
        yield part


def add(receipts: Iterable[Receipt], target: str) -> None:
    Receipt.objects.using(target).bulk_create(receipts, ignore_conflicts=True)
