"""The rows of an app follow it to the database that the map now names."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dbrouting.copying import CopyError, copy_app
from dbrouting.routers import home_of


class Command(BaseCommand):
    help = "Copies an app's rows from the database where it used to live to the one that DATABASE_APPS_MAPPING names."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app_label", help="The app, whose tables `migrate` has made in its new database.")
        parser.add_argument("--from", dest="source", metavar="ALIAS", required=True, help="Where its rows are.")

    def handle(self, *args: Any, **options: Any) -> None:
        label, source = options["app_label"], options["source"]
        if label not in apps.app_configs:
            raise CommandError(f"No installed app has the label {label!r}.")
        try:
            counts = copy_app(label, source)
        except CopyError as error:
            raise CommandError(str(error)) from error
        for table, count in counts.items():
            self.stdout.write(f"{table}: {count}")
        self.stdout.write(self.style.SUCCESS(f"Copied to {home_of(label)!r}. The rows on {source!r} are still there."))
