from typing import Any

from django.apps import apps
from django.core.management.commands import showmigrations

from dbrouting.aliases import lives_on
from dbrouting.commands import OnEveryDatabase


class Command(OnEveryDatabase, showmigrations.Command):
    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        """Every database has a record of every app's migrations; only where the app lives does it mean something."""
        labels = set(options["app_label"]).intersection(apps.app_configs) or {None}  # Django complains of the others
        return any(lives_on(label, alias) for label in labels)
