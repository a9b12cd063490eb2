from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import pluralize

from tenants.errors import TenantError
from tenants.services import get_tenants, migrate_tenants


class Command(BaseCommand):
    help = "Migrates the tenants' databases. `migrate` does these and the shared one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tenant", action="append", metavar="NAME", help="Migrate this tenant; may be repeated. By default all."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenants = get_tenants(options["tenant"])
        except TenantError as error:
            raise CommandError(str(error)) from None
        failures = migrate_tenants(tenants, verbosity=options["verbosity"] - 1)
        if failures:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
            raise CommandError(
                f"{len(failures)} of {len(tenants)} tenants could not be migrated:\n{reasons}\n"
                "The others are done. Mend the cause and run `python manage.py migrate_tenants` again."
            )
        self.stdout.write(self.style.SUCCESS(f"Migrated {len(tenants)} tenant{pluralize(len(tenants))}."))
