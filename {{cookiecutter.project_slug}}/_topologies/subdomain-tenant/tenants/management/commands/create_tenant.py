from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import create_tenant, hosts_of


class Command(BaseCommand):
    help = "Makes a tenant: its row, its domains, its tables. If a run was killed, the next one starts again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Lower-case letters, digits and _. Its alias is called so for ever.")
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help="A host name of its site; may be repeated. By default its subdomain of TENANT_BASE_DOMAIN.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenant was not created."):
            tenant = create_tenant(options["name"], *options["host"])
        self.stdout.write(self.style.SUCCESS(f"Created the tenant {tenant} ({tenant.alias}), at {hosts_of(tenant)}."))
