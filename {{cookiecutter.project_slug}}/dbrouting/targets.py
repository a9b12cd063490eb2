"""Which databases commands act on, the project's own and Django's: one mechanism for all of them.

``settings.DATABASE_TARGETS`` names the class, so that a command written against it works unchanged when there is
more than one answer.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model
from django.utils.module_loading import import_string

from dbrouting.aliases import apps_on, is_dummy, migratable_aliases, usable_aliases
from dbrouting.inspection.findings import Finding, Findings
from dbrouting.overrides import current_override, in_database
from dbrouting.provisioning import migration_lock

Target = tuple[str, AbstractContextManager[object]]


class Access(NamedTuple):
    """A database's configuration, and what its user must be able to make: a name, or with a ``*`` how names begin."""

    config: dict[str, Any]
    name: str


class DatabaseTargets:
    """Act where the routers say, or on the alias given by ``--database``."""

    # What there are several of, and the option that names one of them.
    kind = "databases"
    again = "--database=ALIAS"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", metavar="ALIAS", help="Act on this database instead of the routed ones.")

    def each(self, options: dict[str, Any]) -> Iterator[Target]:
        """Pairs of a label to print (empty if there is only one target) and the context to work in.

        For commands that leave it to the routers which database each row is in.
        """
        alias = self.named(options)
        if alias is None:
            yield from self.routed(options)
        else:
            yield alias, in_database(alias, write=True)

    def routed(self, options: dict[str, Any]) -> Iterator[Target]:
        yield "", nullcontext()

    def databases(self, options: dict[str, Any]) -> Iterator[str]:
        """Aliases, for commands that act on one database after the other: each that holds tables, or the one meant."""
        alias = self.named(options) or self.around()
        if alias is None:
            yield from migratable_aliases()
        else:
            yield alias

    def samples(self, options: dict[str, Any]) -> Iterator[str]:
        """One of each kind of them: databases that have the same tables are alike."""
        yield from self.databases(options)

    def home(self, model: type[Model], options: dict[str, Any]) -> str:
        """The alias where ``model`` is written, or the one named."""
        return self.named(options) or router.db_for_write(model)

    def one(self, options: dict[str, Any]) -> str:
        """The alias for a command that can only act on one, and no model says which: ``default`` if it has tables."""
        if alias := self.named(options) or self.around():
            return alias
        homes = list(migratable_aliases())
        if DEFAULT_DB_ALIAS in homes or len(homes) == 1:
            return DEFAULT_DB_ALIAS if DEFAULT_DB_ALIAS in homes else homes[0]
        raise CommandError(f"Which database? Add one of: {', '.join(f'--database={alias}' for alias in homes)}.")

    def are_named(self, options: dict[str, Any]) -> bool:
        """Whether the options say which databases, instead of leaving it to the routers."""
        return options.get("database") is not None

    def named(self, options: dict[str, Any]) -> str | None:
        """The alias that the options name, if they do and there is such a database."""
        alias: str | None = options.get("database")
        if alias is None or (alias in connections.settings and not is_dummy(alias)):
            return alias
        raise CommandError(f"No database is called {alias!r}. DATABASES lists: {', '.join(usable_aliases())}.")

    def around(self) -> str | None:
        """The alias that this code works on, if a block around it says so: it means no other."""
        override = current_override()
        return override and override.write

    def inside(self, alias: str) -> AbstractContextManager[object]:
        """Where the routers send everything to ``alias``."""
        return in_database(alias, write=True)

    def where(self) -> str:
        """Where this code is, in a word for a prompt; empty where nothing but the routers decides."""
        override = current_override()
        return (override and override.read) or ""

    def holdings(self) -> Iterator[tuple[str, str]]:
        """Each alias, and in words what it holds: where a shell can look."""
        for alias in usable_aliases():
            source = connections.settings[alias]["TEST"]["MIRROR"]
            yield alias, f"a copy of {source}" if source else ", ".join(apps_on(alias)) or "no app"

    def must_keep(self, alias: str) -> str:
        """Why the rows of ``alias`` can't be removed without others becoming useless; empty if they can."""
        return ""

    def ways_home(self, app_label: str, alias: str) -> Iterator[str]:
        """Commands for rows of ``app_label`` on ``alias``, where the routers send no query for them."""
        yield from ()

    def prepare_tests(self, options: dict[str, Any]) -> None:
        """List the aliases that test databases are to be made for besides."""

    def fill_tests(self) -> None:
        """Add the rows that these aliases are found by, unless a fixture had them."""

    def accesses(self) -> Iterator[Access]:
        """What the users that the URLs name must be able to make."""
        for alias in usable_aliases():
            if apps_on(alias):
                yield Access(connections.settings[alias], connections.settings[alias]["NAME"])

    def lock(self, alias: str) -> AbstractContextManager[object]:
        """What keeps a second ``migrate`` off ``alias``; CommandError if another process is at work there."""
        return migration_lock(connections[alias])

    def findings_about_apps(self, alias: str) -> dict[str, Finding]:
        """What is to be known on ``alias``, by the label of the app: of its tables there none is stray or missing."""
        return {}

    def differences(self, alias: str) -> Findings:
        """What else of ``alias`` isn't as it should be: nothing, where all tables are made by migrations."""
        yield from ()

    def migrate_unlisted(self, options: dict[str, Any], stdout: OutputWrapper) -> dict[str, BaseException | None]:
        """What ``migrate`` does with the databases that aren't listed: by alias, the error or ``None``."""
        return {}

    def migrating(self, alias: str) -> AbstractContextManager[object]:
        """What surrounds the migration of ``alias``: a package's data migrations know of routers only."""
        return nullcontext()

    def prepare_demo(self) -> None:
        """Make whatever the demo data needs besides migrated databases: nothing, here."""


def get_targets() -> DatabaseTargets:
    targets: DatabaseTargets = import_string(settings.DATABASE_TARGETS)()
    return targets
