"""``lintmigrations`` of django-migration-linter, asked of each database about the apps that live there.

The linter judges the SQL that a migration runs on one database, and an app has none where it doesn't live: asked of
``default`` alone, it passes every other database's migrations unseen. It is needed in development only, and isn't in
``INSTALLED_APPS``.
"""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import ProgrammingError, connections
from django.db.migrations.loader import MigrationLoader

from dbrouting.aliases import let_go, lives_on, migratable_aliases
from dbrouting.migration_guard import is_own_app
from dbrouting.reachability import require_reachable

try:
    from django_migration_linter.management.commands import lintmigrations
except ModuleNotFoundError:
    raise ImproperlyConfigured("django-migration-linter isn't installed; it is in the dev group: uv sync") from None


class Command(lintmigrations.Command):
    help = "Reports this project's migrations that the version which is running meanwhile couldn't live with."

    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"]:
            raise CommandError("Each app is judged on a database where it lives: leave out --database.")
        failed = [alias for alias, labels in homes().items() if not self._passes(alias, labels, options)]
        if failed:
            raise CommandError(
                f"On {', '.join(failed)}: the version that is running while the migrations named above are applied "
                'may fail. "Safe migrations" in README.md says what to do instead, and how to accept one.'
            )

    def _passes(self, alias: str, labels: list[str], options: dict[str, Any]) -> bool:
        require_reachable(alias, then="python manage.py lintmigrations")
        if options["verbosity"] >= 1:
            self.stdout.write(self.style.MIGRATE_HEADING(f"Database {alias}: {', '.join(labels)}"))
        chosen = {
            "database": alias,
            "include_apps": labels,
            "no_cache": True,  # it is kept by folder and alias, not by what the routers said then
            "project_root_path": str(settings.BASE_DIR),
            "quiet": options["quiet"] or ["ok", "ignore", "warning"],
            "sql_analyser": connections[alias].vendor,
        }
        try:
            super().handle(**{**options, **chosen})  # type: ignore[no-untyped-call]  # the linter's has no types
        except SystemExit:
            return False
        except (ValueError, ProgrammingError) as error:
            raise CommandError(
                f"The SQL of the migration named above can't be told on {alias!r} as it is now: {error}\nRead it "
                'yourself, then accept it as "Safe migrations" in README.md says.'
            ) from error
        finally:
            let_go(alias)
        return True


def homes() -> dict[str, list[str]]:
    """Alias → the apps of this project that are judged there: each on the first of the databases it lives on."""
    found: dict[str, list[str]] = {}
    aliases = list(migratable_aliases())
    for label in labels_with_migrations():
        alias = next((alias for alias in aliases if lives_on(label, alias)), None)
        if alias is None:
            raise CommandError(
                f"There is no database that holds {label!r} yet, so its migrations can't be judged. Make what is "
                "missing, for instance by: python manage.py bootstrap"
            )
        found.setdefault(alias, []).append(label)
    return found


def labels_with_migrations() -> list[str]:
    """Of the project's own apps; nobody here can mend those of installed ones."""
    labels = MigrationLoader(None, ignore_no_migrations=True).migrated_apps
    return sorted(label for label in labels if is_own_app(apps.get_app_config(label)))
