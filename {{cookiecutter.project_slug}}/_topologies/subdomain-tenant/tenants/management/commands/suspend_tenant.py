from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import get_tenant, suspend_tenant


class Command(BaseCommand):
    help = "Closes a tenant's site: visitors are answered 503. All it has is kept; resume_tenant opens it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", metavar="TENANT", help="The tenant.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenant was not suspended."):
            was_open = suspend_tenant(get_tenant(options["tenant"]))
        state = "is suspended now" if was_open else "was suspended already"
        self.stdout.write(self.style.SUCCESS(f"{options['tenant']} {state}."))
