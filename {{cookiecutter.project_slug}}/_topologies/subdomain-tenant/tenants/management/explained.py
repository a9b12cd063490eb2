"""What the commands about tenants have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import DatabaseError

from tenants.errors import TenantError


@contextmanager
def explained(outcome: str = "") -> Iterator[None]:
    """``outcome`` and the reason in a few words, instead of a traceback."""
    try:
        yield
    except (TenantError, DatabaseError) as error:
        raise CommandError(f"{outcome} {error}".strip()) from error
