"""What the commands about tenants have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from tenants.errors import EXPLAINED


@contextmanager
def explained(outcome: str = "") -> Iterator[None]:
    """``outcome`` and the reason in a few words, instead of a traceback."""
    try:
        yield
    except EXPLAINED as error:
        raise CommandError(f"{outcome} {error}".strip()) from error
