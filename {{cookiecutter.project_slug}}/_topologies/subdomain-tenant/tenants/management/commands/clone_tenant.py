from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.services import clone_tenant, get_tenant, hosts_of


class Command(BaseCommand):
    help = "Makes a tenant with the rows and files of another, which may be in use. Nobody is logged in on the copy."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="The tenant to copy.")
        parser.add_argument("name", help="The new one: lower-case letters, digits and _.")
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help="A host name of its site; may be repeated. By default its subdomain of TENANT_BASE_DOMAIN.",
        )
        parser.add_argument("--suspended", action="store_true", help="Leave its site closed; resume_tenant opens it.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenant was not cloned."):
            source = get_tenant(options["source"])
            tenant = clone_tenant(source, options["name"], *options["host"], suspended=options["suspended"])
        state = "" if tenant.is_active else "; its site is closed"
        self.stdout.write(
            self.style.SUCCESS(f"Cloned {source} as {tenant} ({tenant.alias}), at {hosts_of(tenant)}{state}.")
        )
