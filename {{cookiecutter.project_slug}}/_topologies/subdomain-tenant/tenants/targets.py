"""Which sites commands act on: the tenants', and for Django's the shared one."""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model

from config import databases, isolation
from dbrouting.aliases import is_listed, let_go
from dbrouting.overrides import in_database
from dbrouting.targets import Access, DatabaseTargets, Target
from dbrouting.tenant_context import get_current_tenant, is_shared_context, shared_context, tenant_context
from dbrouting.tenant_names import ALIAS_PREFIX, alias_of, key_of
from tenants.errors import TenantError
from tenants.locks import tenant_lock
from tenants.management.explained import explained
from tenants.migrating.runs import migrate_or_look
from tenants.migrating.state import records_of_new, tenants_are_known
from tenants.models import Domain, Tenant
from tenants.services import create_tenant, default_host, get_tenants, require_whole

DEMO_TENANTS = ("acme", "globex")


class TenantTargets(DatabaseTargets):
    """Act on each tenant, on those given by ``--tenant``, or on the alias given by ``--database``.

    Called by code that works for a tenant, or for the shared site, a command acts on that one.
    """

    kind = "tenants"
    again = "--tenant=NAME"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--tenant", action="append", metavar="NAME", help="Act on this tenant; may be repeated where many can be."
        )

    def each(self, options: dict[str, Any]) -> Iterator[Target]:
        """The tenants; the shared site has no shop."""
        yield from self.routed(options) if tenant_names(options) else super().each(options)

    def routed(self, options: dict[str, Any]) -> Iterator[Target]:
        names = tenant_names(options)
        active = get_current_tenant()
        if active and not names:
            yield active.name, tenant_context(active)
            return
        for tenant in tenants_called(names):
            yield tenant.name, tenant_context(tenant)
            let_go(tenant.alias)

    def databases(self, options: dict[str, Any]) -> Iterator[str]:
        if names := tenant_names(options):
            yield from (tenant.alias for tenant in tenants_called(names))
        else:
            yield from super().databases(options)

    def samples(self, options: dict[str, Any]) -> Iterator[str]:
        """Without a name: the shared database, and the first tenant's."""
        aliases = list(self.databases(options))
        yield from aliases if self.named(options) else aliases[:2]

    def home(self, model: type[Model], options: dict[str, Any]) -> str:
        """Where nothing is named and no tenant is active, the shared site is meant."""
        if alias := self.named(options):
            return alias
        if get_current_tenant():
            return router.db_for_write(model)
        with shared_context():
            return router.db_for_write(model)

    def are_named(self, options: dict[str, Any]) -> bool:
        return super().are_named(options) or bool(tenant_names(options))

    def named(self, options: dict[str, Any]) -> str | None:
        names = tenant_names(options)
        if len(names) > 1:
            raise CommandError("This acts on one database: give one --tenant.")
        if names:
            return tenants_called(names)[0].alias
        alias = super().named(options)
        if alias and not is_listed(alias) and (key := key_of(alias)):
            require_tenant(key)  # any key makes an alias
        return alias

    def around(self) -> str | None:
        if alias := super().around():
            return alias
        active = get_current_tenant()
        return active.alias if active else DEFAULT_DB_ALIAS if is_shared_context() else None

    def inside(self, alias: str) -> AbstractContextManager[object]:
        """The site of ``alias``. Code that works for a tenant stays there: a routed query for another raises."""
        if get_current_tenant() is None:
            if alias == DEFAULT_DB_ALIAS:
                return shared_context()
            if tenant := Tenant.objects.filter(key=key_of(alias)).first():
                return tenant_context(tenant)
        return super().inside(alias)

    def where(self) -> str:
        active = get_current_tenant()
        if override := super().where():
            return override
        return active.name if active else "the shared site" if is_shared_context() else "no tenant"

    def holdings(self) -> Iterator[tuple[str, str]]:
        yield from super().holdings()
        yield "tenant_NAME", "a tenant's, in `with tenant_context(Tenant.objects.get(name=…)):` or by --tenant NAME"

    def must_keep(self, alias: str) -> str:
        if alias != DEFAULT_DB_ALIAS or not Tenant.objects.exists():
            return ""
        return (
            f"{alias!r} is left as it is: its rows say which tenants there are, and without them the tenants' "
            "databases would be nobody's."
        )

    def prepare_tests(self, options: dict[str, Any]) -> None:
        for tenant in tenants_called(tenant_names(options)):
            connections.settings[tenant.alias] = copy.deepcopy(connections.settings[tenant.alias])

    def fill_tests(self) -> None:
        for alias in connections:
            if key := key_of(alias):
                made = {"name": key, "state": Tenant.State.ACTIVE, "migrations": records_of_new()}
                tenant, _ = Tenant.objects.get_or_create(key=key, defaults=made)
                Domain.objects.get_or_create(host=default_host(tenant.name), defaults={"tenant": tenant})

    def accesses(self) -> Iterator[Access]:
        yield from super().accesses()
        server = databases.TENANT_SERVER
        yield Access(server, isolation.database_names(server, databases.TENANT_DATABASE_PREFIX))

    @contextmanager
    def lock(self, alias: str) -> Iterator[None]:
        """A tenant's is its own, which who makes or removes it holds too."""
        with ExitStack() as stack:
            with explained():
                stack.enter_context(super().lock(alias) if key_of(alias) is None else tenant_lock(alias))
            yield

    def migrate_unlisted(self, options: dict[str, Any], stdout: OutputWrapper) -> dict[str, BaseException | None]:
        """Tenants, all in one go; if that can't even begin, the error stands for all of them."""
        if not tenants_are_known():
            return {}
        found = [tenant for tenant in get_tenants() if not is_listed(tenant.alias)]
        try:
            return migrate_or_look(found, options, stdout) if found else {}
        except TenantError as error:
            return {f"{ALIAS_PREFIX}*": CommandError(str(error))}

    def migrating(self, alias: str) -> AbstractContextManager[object]:
        """Its tenant is not active, and who makes it may work for the shared site: neither may decide."""
        return in_database(alias, write=True)

    def prepare_demo(self) -> None:
        """Two tenants, so that there is something to keep apart."""
        made = Tenant.objects.exclude(state=Tenant.State.CREATING).values_list("name", flat=True)
        for name in DEMO_TENANTS:
            if name not in made:
                with explained(f"The tenant {name} was not created."):
                    create_tenant(name)


def tenant_names(options: dict[str, Any]) -> list[str]:
    """Those that the options name."""
    names: list[str] = options.get("tenant") or []
    if names and options.get("database"):
        raise CommandError("Give --database or --tenant, not both.")
    return names


def tenants_called(names: list[str] | None = None) -> list[Tenant]:
    """The tenants called so, or all of them."""
    with explained():
        return get_tenants(names)


def require_tenant(key: str) -> None:
    tenant = Tenant.objects.filter(key=key).first()
    if tenant is None:
        raise CommandError(f"No tenant has the alias {alias_of(key)!r}; `python manage.py list_tenants` shows all.")
    with explained():
        require_whole(tenant)
