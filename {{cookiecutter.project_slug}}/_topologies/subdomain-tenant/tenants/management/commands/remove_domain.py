from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import hosts_of, remove_domain


class Command(BaseCommand):
    help = "Serves no tenant's site at a host any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host", metavar="HOST", help="A host that a tenant has.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The domain was not removed."):
            tenant = remove_domain(options["host"])
        self.stdout.write(
            self.style.SUCCESS(f"{options['host']} is no host of {tenant} any more; it has {hosts_of(tenant)}.")
        )
