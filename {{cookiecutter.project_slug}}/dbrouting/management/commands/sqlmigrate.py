from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.commands import sqlmigrate

from dbrouting.aliases import lives_on
from dbrouting.commands import RoutedCommand, homes
from dbrouting.targets import get_targets


class Command(RoutedCommand, sqlmigrate.Command):
    """The SQL of a database where the app lives; anywhere else it is empty."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["app_label"] not in apps.app_configs:
            raise CommandError(f"No installed app has the label {options['app_label']!r}.")
        return super().execute(*args, **{**options, "database": self.home(options)})

    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        return lives_on(options["app_label"], alias)

    def home(self, options: dict[str, Any]) -> str:
        found = [alias for alias in get_targets().samples(options) if self.concerns(alias, options)]
        if not found:
            raise CommandError(f"{options['app_label']} isn't there. {homes(self, options)}")
        return found[0]
