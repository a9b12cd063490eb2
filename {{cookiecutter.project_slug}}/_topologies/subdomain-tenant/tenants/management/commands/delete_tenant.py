from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dbrouting.confirming import is_confirmed
from tenants.losses import losses_of
from tenants.management.explained import explained
from tenants.services import delete_tenant, get_tenant


class Command(BaseCommand):
    help = "Deletes a tenant for good, with all its rows and files, or what a killed command has left of one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="The tenant.")
        parser.add_argument(
            *("--no-input", "--noinput"), action="store_false", dest="interactive", help="Don't ask for the name."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenant was not deleted."):
            tenant = get_tenant(options["name"])
            if options["interactive"] and not is_confirmed(tenant.name, "tenant", losses_of(tenant)):
                raise CommandError("The tenant was not deleted: that is not its name.")
            delete_tenant(tenant)
        self.stdout.write(self.style.SUCCESS(f"Deleted the tenant {tenant}."))
