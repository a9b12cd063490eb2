from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import get_tenant, hosts_of, rename_tenant


class Command(BaseCommand):
    help = "Gives a tenant another name, and its subdomain if it has the one of its name. Its alias and rows stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("old", help="The tenant.")
        parser.add_argument("new", help="Its new name: lower-case letters, digits and _.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenant was not renamed."):
            rename_tenant(get_tenant(options["old"]), options["new"])
            tenant = get_tenant(options["new"])
        self.stdout.write(
            self.style.SUCCESS(f"{options['old']} is called {tenant} now ({tenant.alias}), at {hosts_of(tenant)}.")
        )
