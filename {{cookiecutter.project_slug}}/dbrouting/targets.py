"""Which database the project's own commands act on: one mechanism for all of them.

``settings.DATABASE_TARGETS`` names the class, so that a command written against it works unchanged when there is
more than one answer.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.utils.module_loading import import_string

from dbrouting.aliases import apps_on, usable_aliases
from dbrouting.overrides import in_database

Target = tuple[str, AbstractContextManager[object]]


class Access(NamedTuple):
    """A database's configuration, and what its user must be able to make: a name, or with a ``*`` how names begin."""

    config: dict[str, Any]
    name: str


class DatabaseTargets:
    """Act where the routers say, or on the alias given by ``--database``."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", metavar="ALIAS", help="Act on this database instead of the routed ones.")

    def each(self, options: dict[str, Any]) -> Iterator[Target]:
        """Pairs of a label to print (empty if there is only one target) and the context to work in."""
        alias = options.get("database")
        if alias is None:
            yield from self.routed(options)
        elif alias in connections.settings:
            yield alias, in_database(alias, write=True)
        else:
            raise CommandError(f"No database is called {alias!r}. DATABASES lists: {', '.join(connections)}.")

    def routed(self, options: dict[str, Any]) -> Iterator[Target]:
        yield "", nullcontext()

    def accesses(self) -> Iterator[Access]:
        """What the users that the URLs name must be able to make."""
        for alias in usable_aliases():
            if apps_on(alias):
                yield Access(connections.settings[alias], connections.settings[alias]["NAME"])

    def migrating(self, alias: str) -> AbstractContextManager[object]:
        """What surrounds the migration of ``alias``: a package's data migrations know of routers only."""
        return nullcontext()

    def prepare_demo(self) -> None:
        """Make whatever the demo data needs besides migrated databases: nothing, here."""


def get_targets() -> DatabaseTargets:
    targets: DatabaseTargets = import_string(settings.DATABASE_TARGETS)()
    return targets
