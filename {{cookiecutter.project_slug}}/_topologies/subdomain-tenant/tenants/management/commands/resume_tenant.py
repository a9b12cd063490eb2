from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import get_tenant, resume_tenant


class Command(BaseCommand):
    help = "Opens a tenant's site that suspend_tenant has closed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", metavar="TENANT", help="The tenant.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenant was not resumed."):
            was_closed = resume_tenant(get_tenant(options["tenant"]))
        state = "is open now" if was_closed else "was open already"
        self.stdout.write(self.style.SUCCESS(f"{options['tenant']} {state}."))
