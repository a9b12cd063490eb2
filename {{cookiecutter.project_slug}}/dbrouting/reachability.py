"""Turn "connection refused" into which database, which variable, and what to type next."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, ProgrammingError, connections

from dbrouting.aliases import usable_aliases


def variable_of(alias: str) -> str:
    """The environment variable that holds the URL of ``alias``."""
    return str(connections.settings[alias].get("VARIABLE", f"DATABASES[{alias!r}]"))


def require_reachable(alias: str, then: str) -> None:
    """Raise CommandError unless ``alias`` answers; ``then`` is the command to run once it does."""
    try:
        connections[alias].ensure_connection()
    except DatabaseError as error:
        raise CommandError(describe(alias, error, then)) from error


def describe(alias: str, error: Exception, then: str) -> str:
    return (
        f"The database {alias!r} can't be reached: {' '.join(str(error).split())}\n"
        f"Its URL is {variable_of(alias)} in .env. Start the server or mend the URL (a database that doesn't exist "
        f"yet is made by `python manage.py bootstrap`), then run: {then}"
    )


@contextmanager
def missing_tables_explained(alias: str, again: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(
            f"The database {alias!r} said: {' '.join(str(error).split())}\n"
            f"If a table is missing: python manage.py migrate --database={alias}, then: {again}"
        ) from error


def explain_failure(then: str) -> str | None:
    """What to print after a ``DatabaseError``, if a database that is down caused it; ``None`` if all of them answer."""
    for alias in usable_aliases():
        try:
            connections[alias].ensure_connection()
        except DatabaseError as error:
            return describe(alias, error, then)
    return None
