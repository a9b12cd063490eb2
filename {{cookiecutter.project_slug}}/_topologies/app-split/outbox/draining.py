"""Handling what the outbox of a database holds.

A message is handled in a transaction of the receiver's database, which also writes the receipt; then it is deleted
where it was written. Whatever dies between the two leaves a message with a receipt, which is only deleted.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from outbox.models import Message, Receipt
from outbox.registry import MORE, OutboxError, handler_named

LONGEST_PAUSE = timedelta(hours=1)
LONGEST_ERROR = 1000

# Who can't be connected to is left to `drain_outbox` for so many seconds: each commit would wait for it again.
REST = 10.0
_resting_until: dict[str, float] = {}  # of aliases, by time.monotonic()

# By handlers, where messages are handled after a commit.
SENT_MEANWHILE: ContextVar[deque[Message] | None] = ContextVar("sent_meanwhile", default=None)


class Drained(NamedTuple):
    handled: int = 0
    failed: int = 0

    def __add__(self, other: object) -> "Drained":
        return Drained(*map(sum, zip(self, other, strict=True))) if isinstance(other, Drained) else NotImplemented


def drain(alias: str, progress: Callable[[int], object] = lambda count: None) -> Drained:
    """Handle every message on ``alias`` whose time has come, in the order in which they were written.

    One that fails is put off and the next one has its turn; so is one that somebody else is at work on. ``progress`` is
    called between transactions, after each message and each part of one: what it raises leaves nothing half-done.
    """
    require_no_transaction(alias)
    return drain_messages(alias, Message.objects.using(alias), progress)


def drain_messages(alias: str, messages: QuerySet[Message], progress: Callable[[int], object]) -> Drained:
    started, last, total = timezone.now(), 0, Drained()
    while True:
        waiting = messages.filter(next_try_at__lte=started, pk__gte=last).order_by("pk")
        step = Step(alias, waiting)
        if step.message is None:
            return total
        last = step.pk
        if not step.is_unfinished:
            total += Drained(failed=1) if step.error else Drained(handled=1)
        progress(int(not step.is_unfinished))


class Step:
    """The first of ``waiting``, handled as far as it goes in one transaction of its receiver."""

    def __init__(self, alias: str, waiting: QuerySet[Message]) -> None:
        self.message: Message | None = None
        self.pk = 0  # which a message that was deleted has no more
        self.error: Exception | None = None
        self.is_unfinished = False
        try:
            with locking(alias):
                self.message = unlocked(alias, waiting).first()
                if self.message:
                    self._handle(self.message)
        except Exception as error:
            if self.message is None:
                raise
            self.error = error
            put_off(self.message, error)

    def _handle(self, message: Message) -> None:
        self.pk = message.pk
        self.is_unfinished = not deliver(message)
        if not self.is_unfinished:
            message.delete()


def locking(alias: str) -> AbstractContextManager[object]:
    """What keeps others off a message while it is handled; without it they are only kept from handling it twice."""
    return transaction.atomic(using=alias, durable=True) if can_lock(alias) else nullcontext()


def unlocked(alias: str, messages: QuerySet[Message]) -> QuerySet[Message]:
    return messages.select_for_update(skip_locked=True) if can_lock(alias) else messages


def can_lock(alias: str) -> bool:
    return bool(connections[alias].features.has_select_for_update_skip_locked)


def deliver(message: Message) -> bool:
    """Whether ``message`` is done with, here or before."""
    handler = handler_named(message.handler)
    source, alias = message._state.db, handler.alias(message.content)
    is_inside = alias == source and can_lock(alias)  # of the transaction that holds the lock
    if not is_inside:
        require_no_transaction(alias)
    with transaction.atomic(using=alias):
        receipts = Receipt.objects.using(alias)
        if receipts.filter(pk=message.key).exists():
            return True
        if handler.handle(message.content) is MORE:
            return False
        receipts.create(key=message.key)
    return True


def put_off(message: Message, error: Exception) -> None:
    """Note what went wrong, and wait twice as long as before."""
    attempts = message.attempts + 1
    pause = min(timedelta(seconds=2 ** min(attempts, 20)), LONGEST_PAUSE)
    Message.objects.using(message._state.db).filter(pk=message.pk).update(
        attempts=attempts, next_try_at=timezone.now() + pause, last_error=described(error)
    )


def make_due(alias: str) -> None:
    """Whatever was put off: its cause may be mended."""
    Message.objects.using(alias).filter(attempts__gt=0).update(next_try_at=timezone.now())


def described(error: Exception) -> str:
    """One may quote every row that refuses, another a character that PostgreSQL doesn't store."""
    return f"{type(error).__name__}: {error}".replace("\0", "")[:LONGEST_ERROR]


def require_no_transaction(alias: str) -> None:
    """What is committed later, or never, can't be told from what is done."""
    if is_in_transaction(alias):
        raise OutboxError(f"The outbox is drained inside a transaction on {alias!r}. Do it after its end.")


def is_in_transaction(alias: str) -> bool:
    """Other than the one that a ``TestCase`` is in."""
    blocks: list[Any] = connections[alias].atomic_blocks
    return bool(blocks) and not blocks[-1]._from_testcase


def drain_soon(message: Message) -> None:
    """Handle ``message`` now that it is committed, or when a transaction that is still open elsewhere is.

    Outside of whatever block the commit is in: handlers are the same wherever they run. What a handler sends waits for
    its end: a chain of messages, as the branches of a tree make, would be a stack as deep.
    """
    waiting = SENT_MEANWHILE.get()
    if waiting is None:
        Context().run(drain_in_turn, message)
    else:
        waiting.append(message)


def drain_in_turn(message: Message) -> None:
    waiting = deque([message])
    SENT_MEANWHILE.set(waiting)  # in a context that ends with this
    while waiting:
        drain_or_wait(waiting.popleft())


def drain_or_wait(message: Message) -> None:
    alias = message._state.db or ""
    receiver = handler_named(message.handler).alias(message.content)
    for busy in filter(is_in_transaction, (alias, receiver)):
        transaction.on_commit(lambda: drain_soon(message), using=busy, robust=True)
        return
    if time.monotonic() < _resting_until.get(receiver, 0):
        return
    drained = drain_messages(alias, Message.objects.using(alias).filter(pk=message.pk), progress=lambda count: None)
    if drained.failed and connections[receiver].connection is None:
        _resting_until[receiver] = time.monotonic() + REST


class Backlog(NamedTuple):
    """What is still there: how many, how many of them have failed before, and the last of their errors."""

    alias: str
    waiting: int
    failing: int
    oldest: datetime | None
    last_error: str


def backlog(alias: str) -> Backlog:
    messages = Message.objects.using(alias)
    failing = messages.filter(attempts__gt=0)
    oldest, worst = messages.order_by("pk").first(), failing.order_by("-attempts").first()
    return Backlog(
        alias,
        messages.count(),
        failing.count(),
        oldest.written_at if oldest else None,
        f"{worst.handler}: {worst.last_error}" if worst else "",
    )
