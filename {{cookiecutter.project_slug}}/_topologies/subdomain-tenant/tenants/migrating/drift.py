"""Where tenants are not what the shared database and the code say of them: found in bulk, looked into one by one."""

from dataclasses import dataclass, field
from pathlib import PurePath
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import prefetch_related_objects
from tqdm import tqdm

from config import databases
from dbrouting.aliases import is_listed, let_go
from dbrouting.inspection.findings import MANAGE, Finding, Findings, few
from dbrouting.inspection.histories import Histories
from dbrouting.inspection.records import differences_of_records, dotted
from dbrouting.inspection.tables import differences_of_tables, stray_tables
from dbrouting.overrides import in_database
from dbrouting.provisioning import name_of, provisioner_of
from dbrouting.reachability import describe
from dbrouting.tenant_context import shared_context
from dbrouting.tenant_names import alias_of, is_tenant_name
from tenants.migrating.bulk import Columns, applied_in_bulk, applied_on, columns_in_bulk
from tenants.migrating.state import Applied, code_migrations, is_behind, to_text
from tenants.models import Tenant

AGAIN = f"{MANAGE} check_tenants"
UNFINISHED = (Tenant.State.CREATING, Tenant.State.DELETING)


@dataclass
class Report:
    """What was found of a tenant; a place without one has no name."""

    name: str
    alias: str
    findings: list[Finding] = field(default_factory=list)


def inspect_tenants(tenants: list[Tenant]) -> list[Report]:
    """One for each tenant. DatabaseError if the server of all of them can't be reached."""
    with shared_context():
        return Inspection(tenants).reports()


class Inspection:
    """What was read of many tenants at once."""

    def __init__(self, tenants: list[Tenant]) -> None:
        self.tenants = tenants
        prefetch_related_objects(tenants, "domains")
        self.histories = Histories()
        aliases = [tenant.alias for tenant in tenants if tenant.state not in UNFINISHED]
        self.places = places_beside(connections[aliases[0]]) if aliases else set()
        self.applied = applied_in_bulk(aliases)
        self.columns = columns_in_bulk(list(self.applied))
        self._expected: dict[Applied, Columns] = {}

    def reports(self) -> list[Report]:
        bar = tqdm(self.tenants, unit="tenant", leave=False, disable=None)
        return [Report(tenant.name, tenant.alias, list(self.findings(tenant))) for tenant in bar]

    def findings(self, tenant: Tenant) -> Findings:
        if tenant.state in UNFINISHED:
            yield unfinished(tenant)
            return
        if not tenant.domains.all() and tenant.alias not in settings.DYNAMIC_DB_ROUTES.values():
            what = "It has no host name: nobody can visit it."
            yield Finding("warning", what, (f"{MANAGE} add_domain {tenant.name} HOST",))
        if not is_listed(tenant.alias) and name_of(connections[tenant.alias]) not in self.places:
            what = f"{name_of(connections[tenant.alias])!r} isn't there. Restore it from a backup, or remove it:"
            yield Finding("error", what, (f"{MANAGE} delete_tenant {tenant.name}",))
            return
        try:
            with in_database(tenant.alias):
                yield from self.findings_in_place(tenant)
        except DatabaseError as error:
            yield Finding("error", describe(tenant.alias, error, then=f"{AGAIN} --tenant {tenant.name}"))
        finally:
            let_go(tenant.alias)

    def findings_in_place(self, tenant: Tenant) -> Findings:
        applied = self.applied.get(tenant.alias)
        if applied is None:
            applied = applied_on(connections[tenant.alias])
        yield from differences_of_migrations(tenant, applied)
        if self.is_as_expected(tenant.alias, applied):
            return
        connection = connections[tenant.alias]
        history = self.histories.of(connection)
        with connection.cursor() as cursor:
            names = set(connection.introspection.table_names(cursor))
            if history.contradictions:
                yield from differences_of_records(tenant.alias, history)
            yield from differences_of_tables(history, names, cursor)
            yield from stray_tables(history, names, cursor)

    def is_as_expected(self, alias: str, applied: Applied) -> bool:
        """Whether its tables and columns are those that its migrations made: most are, and needn't be visited."""
        if alias not in self.columns:
            return False
        if applied not in self._expected:
            connection = connections[alias]
            self._expected[applied] = frozenset(
                (name, column.column)
                for name, model in self.histories.of(connection).tables(connection).items()
                for column in model._meta.local_concrete_fields
                if column.column
            )
        return self.columns[alias] == self._expected[applied]


def unfinished(tenant: Tenant) -> Finding:
    """A command is at work on it, or was killed."""
    commands = [f"{MANAGE} create_tenant {tenant.name}"] if tenant.state == Tenant.State.CREATING else []
    what = f"Its state is {tenant.state}. If no command is at work on it, one was killed. Finish it, or remove it:"
    return Finding("error", what, (*commands, f"{MANAGE} delete_tenant {tenant.name}"))


def differences_of_migrations(tenant: Tenant, applied: Applied) -> Findings:
    migrate = (f"{MANAGE} migrate_tenants --tenant {tenant.name}",)
    code = code_migrations()
    if missing := sorted(code.missing_from(applied)):
        yield Finding("error", f"It is behind the code, without {few([dotted(key) for key in missing])}.", migrate)
    elif is_behind(tenant.migrations):
        yield Finding(
            "error", "It lacks no migration, but what it has isn't written down: it counts as behind.", migrate
        )
    elif to_text(applied) != tenant.migrations:
        what = "What is applied there isn't what is remembered: a run didn't reach its end, or another hand was there."
        yield Finding("warning", what, migrate)
    known = code.all | {part for parts in code.replaced.values() for part in parts}
    if ahead := sorted(applied - known):
        yield Finding("info", f"It is ahead of the code, with {few([dotted(key) for key in ahead])}.")


def places_beside(connection: BaseDatabaseWrapper) -> set[str]:
    """The names of all there is where the tenants' places are."""
    return provisioner_of(connection).names(connection)


def places_without_tenant() -> list[Report]:
    """Those that are called like a tenant's, and no tenant has them."""
    any_of_them = connections[alias_of("any")]
    keys = set(Tenant.objects.values_list("key", flat=True))
    try:
        found = sorted(places_beside(any_of_them))
    except DatabaseError:
        return []  # the tenants' own reports say so
    return [
        Report("", alias_of(key), [without_tenant(place, alias_of(key))])
        for place in found
        if (key := key_in(place)) and key not in keys
    ]


def key_in(place: str) -> str | None:
    """The key of the tenant whose place would be called so."""
    name = PurePath(urlsplit(place).path).name.removesuffix(".sqlite3")
    prefix = f"{databases.TENANT_DATABASE_PREFIX}_"
    key = name.removeprefix(prefix)
    return key if name.startswith(prefix) and is_tenant_name(key) else None


def without_tenant(place: str, alias: str) -> Finding:
    drop = f"""{MANAGE} shell -c "from tenants.places import drop_place; drop_place('{alias}')\""""
    return Finding("warning", f"{place!r} is no tenant's. Keep what you need of it, and only then: {drop}")
