from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import add_domain, get_tenant


class Command(BaseCommand):
    help = "Serves a tenant's site at one more host."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", metavar="TENANT", help="The tenant.")
        parser.add_argument("host", metavar="HOST", help="A host name, without scheme, port and path.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The domain was not added."):
            is_new = add_domain(get_tenant(options["tenant"]), options["host"])
        state = "is now" if is_new else "was already"
        self.stdout.write(self.style.SUCCESS(f"{options['host']} {state} a host of {options['tenant']}."))
