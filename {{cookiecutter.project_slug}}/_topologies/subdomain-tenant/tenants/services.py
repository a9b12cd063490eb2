"""The life of a tenant; commands and other code call these functions."""

from collections.abc import Iterable

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import create_database, database_exists, drop_database, name_of
from dbrouting.sql import atomic_for
from dbrouting.tenant_context import shared_context
from dbrouting.tenant_names import alias_of
from tenants.errors import TenantError
from tenants.models import Domain, Tenant
from tenants.validators import validate_name


def create_tenant(name: str, *hosts: str, verbosity: int = 0) -> Tenant:
    """Make a tenant: its rows, what its alias leads to, the tables there.

    Its site is open once all is there. If a step fails, what the steps before it made is removed.
    """
    with shared_context():
        require_name(name)
        if alias_of(name) not in connections.settings:
            raise TenantError(f"A tenant called {name!r} would share the shared database: choose another name.")
        connection = connections[alias_of(name)]
        if database_exists(connection):
            raise TenantError(
                f"There is {name_of(connection)!r} on the server already. If it is the left-over of a tenant "
                "that is gone, remove it; otherwise choose another name."
            )
        tenant = add_rows(name, hosts or [default_host(name)])
        try:
            create_database(connection)
            call_command("migrate", database=tenant.alias, interactive=False, verbosity=verbosity)
            tenant.state = Tenant.State.ACTIVE
            tenant.save(update_fields=["state"])
        except BaseException:
            remove(tenant, connection)
            raise
    return tenant


def require_name(name: str) -> None:
    """Raise TenantError unless a tenant called ``name`` can be made."""
    try:
        validate_name(name)
    except ValidationError as error:
        raise TenantError(" ".join(error.messages)) from None
    if Tenant.objects.filter(name=name).exists():
        raise TenantError(f"There is a tenant called {name!r} already; `python manage.py list_tenants` shows them all.")


def default_host(name: str) -> str:
    """The tenant's subdomain of the base domain; host names have no underscores."""
    return f"{name.replace('_', '-')}.{settings.TENANT_BASE_DOMAIN}"


def add_rows(name: str, hosts: Iterable[str]) -> Tenant:
    """The tenant, not open yet, and its domains: all of them or none."""
    with atomic_for(Tenant):
        tenant = Tenant.objects.create(name=name)
        for host in hosts:
            domain = Domain(host=host, tenant=tenant)
            try:
                domain.full_clean()
            except ValidationError as error:
                raise TenantError(f"{host}: {' '.join(error.messages)}") from None
            domain.save()
    return tenant


def remove(tenant: Tenant, connection: BaseDatabaseWrapper) -> None:
    """Undo what ``create_tenant`` did, as far as it got; the rows go last, so that they name what is left over."""
    drop_database(connection)
    tenant.delete()


def get_tenant(name: str) -> Tenant:
    try:
        return Tenant.objects.get(name=name)
    except Tenant.DoesNotExist:
        names = ", ".join(Tenant.objects.values_list("name", flat=True)) or "there is none yet"
        raise TenantError(f"No tenant is called {name!r}. Tenants: {names}.") from None


def get_tenants(names: Iterable[str] | None = None) -> list[Tenant]:
    """The tenants called so, or all of them."""
    return [get_tenant(name) for name in names] if names else list(Tenant.objects.all())


def tenant_aliases() -> list[str]:
    """The aliases of all tenants; none, as long as the shared database has no tables."""
    if Tenant._meta.db_table not in connections[DEFAULT_DB_ALIAS].introspection.table_names():
        return []
    return [alias_of(key) for key in Tenant.objects.order_by("name").values_list("key", flat=True)]
