import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.migrating.state import is_behind
from tenants.models import Tenant
from tenants.services import WHOLE


class Command(BaseCommand):
    help = "Lists the tenants with their aliases, hosts and states, and which of them lack migrations."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print a JSON array, for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = [describe(tenant) for tenant in Tenant.objects.prefetch_related("domains")]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        if not rows:
            self.stdout.write("There are no tenants yet. To make one: python manage.py create_tenant NAME")
        for row in rows:
            state = "" if row["state"] == Tenant.State.ACTIVE else f"  {row['state']}"
            behind = "  behind the code" if row["is_behind"] else ""
            self.stdout.write(f"{row['name']:<20}  {row['alias']:<27}  {', '.join(row['hosts'])}{state}{behind}")


def describe(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": str(tenant.id),
        "name": tenant.name,
        "alias": tenant.alias,
        "hosts": [domain.host for domain in tenant.domains.all()],
        "state": tenant.state,
        "is_behind": tenant.state in WHOLE and is_behind(tenant.migrations),
        "created_at": tenant.created_at.isoformat(),
    }
