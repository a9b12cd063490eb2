"""Which tenants the project's own commands act on."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from config import isolation
from dbrouting.mapping import let_go
from dbrouting.overrides import in_database
from dbrouting.targets import Access, DatabaseTargets, Target
from dbrouting.tenant_context import get_current_tenant, tenant_context
from tenants.models import Tenant
from tenants.services import TenantError, create_tenant, get_tenants

DEMO_TENANTS = ("acme", "globex")


class TenantTargets(DatabaseTargets):
    """Act on each tenant, on those given by ``--tenant``, or on the alias given by ``--database``.

    Called by code that works for a tenant, a command acts on that one.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--tenant",
            action="append",
            metavar="NAME",
            help="Act on this tenant; may be repeated. By default every tenant's database is acted on.",
        )

    def each(self, options: dict[str, Any]) -> Iterator[Target]:
        if options.get("database") and options.get("tenant"):
            raise CommandError("Give --database or --tenant, not both.")
        yield from super().each(options)

    def routed(self, options: dict[str, Any]) -> Iterator[Target]:
        names = options.get("tenant")
        active = get_current_tenant()
        if active and not names:
            yield active.name, tenant_context(active)
            return
        try:
            tenants = get_tenants(names)
        except TenantError as error:
            raise CommandError(str(error)) from None
        for tenant in tenants:
            yield tenant.name, tenant_context(tenant)
            let_go(tenant.alias)

    def accesses(self) -> Iterator[Access]:
        yield from super().accesses()
        yield Access(
            settings.TENANT_SERVER, isolation.database_names(settings.TENANT_SERVER, settings.TENANT_DATABASE_PREFIX)
        )

    def migrating(self, alias: str) -> AbstractContextManager[object]:
        """Its tenant is not active, and who makes it may work for the shared site: neither may decide."""
        return in_database(alias, write=True)

    def prepare_demo(self) -> None:
        """Two tenants, so that there is something to keep apart."""
        for name in DEMO_TENANTS:
            if not Tenant.objects.filter(name=name).exists():
                create_tenant(name)
