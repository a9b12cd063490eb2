"""``migrate`` for every database, in an order that works on empty servers.

Django's own migrates ``default`` and says nothing of the others. This one does all of them unless ``--database``
names one, goes on when one fails, and refuses a database where the routers allow no table: Django would record
every migration there as applied, and the tables would never be made.
"""

import sys
import traceback
from typing import Any

from django.apps import apps
from django.core.checks import Tags
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import connections

from dbrouting.aliases import apps_on, is_dummy, is_listed, let_go, lives_on, migratable_aliases
from dbrouting.reachability import require_reachable, variable_of
from dbrouting.targets import get_targets

# Options that each database takes by itself.
ONE_BY_ONE = ("app_label", "fake", "fake_initial", "run_syncdb", "prune")


class Command(migrate.Command):
    help = "Updates the schema of every database, or of the one that --database names."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        database = next(action for action in parser._actions if action.dest == "database")
        database.default = None
        database.choices = None  # fixed when the parser is built, and without the unlisted aliases
        database.metavar = "ALIAS"
        database.help = "Migrate this database only. By default every database that holds tables is migrated."

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Checks that connect are run per database: one that is down must not keep the others from theirs."""
        return {**super().get_check_kwargs({**options, "database": ""}), "databases": []}

    def handle(self, *args: Any, **options: Any) -> None:
        if options["app_label"] and options["app_label"] not in apps.app_configs:
            raise CommandError(f"No installed app has the label {options['app_label']!r}.")
        if options["database"] is not None:
            require_migratable(options["database"], options)
            self._migrate(options["database"], *args, **options)
            return
        aliases = [alias for alias in migratable_aliases() if lives_on(options["app_label"], alias)]
        if not aliases:
            raise CommandError(f"No database holds {options['app_label'] or 'any app'}: the routers allow it nowhere.")
        if any(options[special] for special in ONE_BY_ONE):
            results = {alias: self._try(alias, *args, **options) for alias in aliases}
        else:
            results = {alias: self._try(alias, *args, **options) for alias in aliases if is_listed(alias)}
            results |= get_targets().migrate_unlisted(options, self.stdout)
        self._report({alias: error for alias, error in results.items() if error}, len(results))

    def _try(self, alias: str, *args: Any, **options: Any) -> BaseException | None:
        """Migrate ``alias``; the error instead of raising it, so that the other databases get their turn."""
        if options["verbosity"] >= 1:
            self.stdout.write(self.style.MIGRATE_HEADING(f"Database {alias} ({variable_of(alias)}):"))
        try:
            self._migrate(alias, *args, **{**options, "database": alias})
        except (Exception, SystemExit) as error:  # `--check` exits
            if options["traceback"]:
                traceback.print_exception(error, file=self.stderr)
            return error
        finally:
            let_go(alias)
        return None

    def _migrate(self, alias: str, *args: Any, **options: Any) -> None:
        require_reachable(alias, then=f"python manage.py migrate --database={alias}")
        if not options["skip_checks"]:
            self.check(databases=[alias], tags=[Tags.database])
        if options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        with get_targets().lock(alias), get_targets().migrating(alias):
            super().handle(*args, **options)

    def _report(self, failures: dict[str, BaseException], total: int) -> None:
        if not failures:
            return
        if all(isinstance(error, SystemExit) and error.code == 1 for error in failures.values()):
            sys.exit(1)  # what `--check` does
        reasons = "\n".join(f"  {alias}: {reason_of(error)}" for alias, error in failures.items())
        others = "The others are done. " if len(failures) < total else ""
        raise CommandError(
            f"{len(failures)} of {total} databases are not migrated:\n{reasons}\n"
            f"{others}Mend the cause and run `python manage.py migrate` again; --traceback shows where."
        )


def reason_of(error: BaseException) -> str:
    """One failure in words; ``--check`` exits with a number where migrations are missing."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, str) else "it has unapplied migrations"
    return str(error) or type(error).__name__


def require_migratable(alias: str, options: dict[str, Any]) -> None:
    """Raise CommandError if ``alias`` can't or must not be migrated."""
    if alias not in connections.settings:
        raise CommandError(f"No database is called {alias!r}. DATABASES lists: {', '.join(connections)}.")
    if is_dummy(alias):
        raise CommandError(f"DATABASES[{alias!r}] is empty: there is nothing to migrate. Run: python manage.py migrate")
    app_label = options["app_label"]
    is_test_runner = options["run_syncdb"] and not options["interactive"]  # they prepare every alias they may use
    if is_test_runner or lives_on(app_label, alias):
        return
    what = app_label or "any table"
    here = ", ".join(apps_on(alias)) or "nothing"
    homes = ", ".join(home for home in migratable_aliases() if lives_on(app_label, home))
    raise CommandError(
        f"The routers don't allow {what} on {alias!r} (there: {here}). Migrating would record migrations as applied "
        f"without making their tables. Run it on: {homes or 'no database holds it'}."
    )
