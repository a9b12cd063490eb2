from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import inspectdb
from django.db import connections

from dbrouting.commands import RoutedCommand
from dbrouting.targets import get_targets


class Command(RoutedCommand, inspectdb.Command):
    """One database after the other, or those which have the tables that are named."""

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = set(options["table"])
        found: set[str] = set()
        for alias in get_targets().samples(options):
            here = wanted.intersection(table_names(alias)) if wanted else set()
            if here or not wanted:
                found |= here
                self.stdout.write(f"# The database {alias}.")
                self.act_on(alias, *args, **{**options, "table": sorted(here)})
        if missing := wanted - found:
            raise CommandError(f"No database has the table {' or '.join(sorted(missing))}.")


def table_names(alias: str) -> list[str]:
    with connections[alias].cursor() as cursor:
        return connections[alias].introspection.table_names(cursor, include_views=True)
