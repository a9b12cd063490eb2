"""What is yet to be done in another database, and what was done there; always ask for them ``.using(alias)``."""

import json
import uuid
from typing import Any

from django.db import models
from django.utils import timezone


class Message(models.Model):
    """In the database of whoever wrote it, in the same transaction; it is gone when it has been handled."""

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    handler = models.CharField(max_length=200)
    payload = models.TextField()  # not a JSONField, which has the system checks ask SQLite whether it knows JSON
    written_at = models.DateTimeField(default=timezone.now, editable=False)
    next_try_at = models.DateTimeField(default=timezone.now, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.handler} {self.key}"

    @property
    def content(self) -> Any:
        """What the handler is called with."""
        return json.loads(self.payload)


class Receipt(models.Model):
    """In the database of the handler, in the same transaction as what it wrote: that message is not handled again."""

    key = models.UUIDField(primary_key=True, editable=False)
    handled_at = models.DateTimeField(default=timezone.now, db_index=True, editable=False)

    def __str__(self) -> str:
        return str(self.key)
