from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from tenants.errors import TenantError
from tenants.services import create_tenant


class Command(BaseCommand):
    help = "Makes a tenant: its row, its domains, its tables."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Lower-case letters, digits and _. It names the alias, for ever.")
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help="A host name of its site; may be repeated. By default its subdomain of TENANT_BASE_DOMAIN.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = create_tenant(options["name"], *options["host"], verbosity=options["verbosity"] - 1)
        except (TenantError, DatabaseError) as error:
            raise CommandError(f"The tenant was not created. {error}") from error
        hosts = ", ".join(domain.host for domain in tenant.domains.all())
        self.stdout.write(self.style.SUCCESS(f"Created the tenant {tenant.name} ({tenant.alias}), at {hosts}."))
