"""What an administrator does for `bootstrap`: the users that the databases' URLs name, and what they may make.

A user that exists keeps its password. No password is printed, or logged with the SQL.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django.db.backends.base.creation import TEST_DATABASE_PREFIX
from django.db.backends.utils import CursorWrapper

from config import engine
from config.env import env, from_url
from dbrouting import server_users
from dbrouting.aliases import lent
from dbrouting.targets import Access

VARIABLE = "DATABASE_ADMIN_URL"


def prepare_users(accesses: Iterable[Access], with_tests: bool) -> Iterator[str]:
    """Make the users that are missing, and let each make its databases; gives what to tell.

    ``with_tests``: the databases of its tests, too. Without DATABASE_ADMIN_URL nothing is done.
    """
    admin = administrator()
    if admin is None:
        return
    try:
        with session(admin) as cursor:
            for access in accesses:
                if server_of(access.config) == server_of(admin):
                    yield from prepare_user(cursor, access, with_tests)
                else:
                    yield f"{VARIABLE} is for another server than {access.config['VARIABLE']}: its user is left alone."
    except DatabaseError as error:
        reason = str(error).partition("\n")[0]  # the rest may quote the statement, password and all
        raise CommandError(
            f"The administrator {admin['USER']!r} on {server_of(admin)} can't prepare the users: {reason}\n"
            f"Mend {VARIABLE} in .env, or remove it if the users are there; then run: python manage.py bootstrap"
        ) from error


def prepare_user(cursor: CursorWrapper, access: Access, with_tests: bool) -> Iterator[str]:
    user = access.config["USER"]
    if server_users.create(cursor, user, access.config["PASSWORD"]):
        yield f"Created the user {user}."
    for name in [access.name, *names_in_tests(access.name)] if with_tests else [access.name]:
        if message := server_users.allow(cursor, user, name):
            yield message


def names_in_tests(name: str) -> list[str]:
    """How the names of the databases begin that the tests of the database ``name`` make."""
    beginning = name.removesuffix("*")
    return [f"{beginning}*", f"{TEST_DATABASE_PREFIX}{beginning}*"]


def administrator() -> dict[str, Any] | None:
    """What DATABASE_ADMIN_URL says, or ``None`` if it isn't set."""
    url: str = env.str(VARIABLE, default="")
    if not url:
        return None
    if not engine.EXAMPLE_ADMIN_URL:
        raise CommandError(f"{VARIABLE} is set, but SQLite's databases are files, which have no users: remove it.")
    try:
        return from_url("administrator", VARIABLE, url)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from None


def server_of(config: dict[str, Any]) -> str:
    port = config["PORT"] or urlsplit(engine.EXAMPLE_URL).port  # its usual one, which a URL may leave out
    return f"{config['HOST']}:{port}"


@contextmanager
def session(config: dict[str, Any]) -> Iterator[CursorWrapper]:
    """A cursor that doesn't log its statements, even when DEBUG is on: they hold passwords."""
    with lent(config) as alias:
        connection = connections[alias]
        connection.ensure_connection()
        with connection.make_cursor(connection.create_cursor()) as cursor:
            yield cursor


def advice(config: dict[str, Any]) -> str:
    """What to do if ``config``'s user can't log in, or can't make its database."""
    user, name = config["USER"], config["NAME"]
    if not engine.EXAMPLE_ADMIN_URL:
        return ""
    if env.str(VARIABLE, default=""):
        return (
            f"\nIf the user {user!r} was there before, its password is the old one: `bootstrap` changes none. Make the "
            f"server's and that in {config['VARIABLE']} the same."
        )
    return (
        f"\nIf the user {user!r} is missing, or may not make the database {name!r}, have an administrator do both:\n"
        f"{VARIABLE}={engine.EXAMPLE_ADMIN_URL} python manage.py bootstrap"
    )
