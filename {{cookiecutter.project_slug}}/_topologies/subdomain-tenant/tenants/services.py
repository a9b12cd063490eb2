"""The life of a tenant; commands, the admin and other code call these functions.

A committed row announces what is about to be made or removed, in a state that no visitor is served in. So whatever
process is killed, at whatever step, a row is left that says so, and nobody sees what is half made: call the function
again, or ``delete_tenant``. Those that make or remove something refuse, for that, to be called in a transaction.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, connections

from dbrouting.aliases import let_go
from dbrouting.hosts import normalise_host
from dbrouting.per_tenant.files import copy_files, delete_files
from dbrouting.per_tenant.remembered_rows import forget_alias
from dbrouting.provisioning import name_of
from dbrouting.sql import atomic_for
from dbrouting.tenant_context import shared_context
from dbrouting.tenant_names import MAX_LENGTH, alias_of
from tenants.errors import TenantError
from tenants.locks import tenant_lock
from tenants.models import Domain, Tenant
from tenants.places import copy_place, drop_place, make_place, place_exists
from tenants.validators import validate_name

State = Tenant.State
# Those with all that a site needs, whether it is open or not.
WHOLE = (State.ACTIVE, State.SUSPENDED)


# Make and remove


@shared_context()
def create_tenant(name: str, *hosts: str) -> Tenant:
    """Make a tenant with its tables and open its site; without ``hosts`` at its subdomain of the base domain.

    If a step fails, what the steps before it made is removed. What a killed run left half made is removed first.
    """
    return make(name, hosts, lambda tenant: make_place(tenant.alias))


@shared_context()
def clone_tenant(source: Tenant, name: str, *hosts: str, suspended: bool = False) -> Tenant:
    """Make a tenant with the rows and files that ``source`` has, as ``create_tenant`` makes one without any.

    The source may be in use meanwhile. The copy has an id and hosts of its own, and nobody is logged in there.
    """

    def fill(tenant: Tenant) -> None:
        copy_place(source.alias, tenant.alias)
        copy_files(str(source.id), str(tenant.id))

    with tenant_lock(source.alias):
        with locked_row(source) as row:
            require_whole(row)
        return make(name, hosts, fill, State.SUSPENDED if suspended else State.ACTIVE)


@shared_context()
def delete_tenant(tenant: Tenant) -> None:
    """Remove a tenant for good: its place, its files, its rows. Also what a killed run left half made or half removed.

    First its site is closed, and every worker has the time to hear of it.
    """
    require_no_static_route(tenant.alias)
    with tenant_lock(tenant.alias):
        with locked_row(tenant, durable=True) as row:
            row.state = State.DELETING
            row.save(update_fields=["state"])
        time.sleep(settings.TENANT_LOOKUP_SECONDS)
        remove(row)


@shared_context()
def adopt_tenant(name: str, *hosts: str) -> Tenant:
    """Make a tenant of what is on the server already, ``<prefix>_<name>``.

    Its site is closed until it has been migrated, and ``resume_tenant`` opens it.
    """
    require_name(name)
    require_free_name(name)
    require_own_place(name)
    with tenant_lock(alias_of(name)):
        if not place_exists(alias_of(name)):
            raise TenantError(f"There is no {name_of(connections[alias_of(name)])!r} on the server to be adopted.")
        return announce(name, name, hosts or [default_host(name)], State.SUSPENDED)


def make(name: str, hosts: Sequence[str], fill: Callable[[Tenant], None], state: str = State.ACTIVE) -> Tenant:
    """A new tenant, in ``state`` once ``fill`` has made its place."""
    require_name(name)
    key = key_for(name)
    require_own_place(key)
    with tenant_lock(alias_of(key)):
        for left_over in Tenant.objects.filter(name=name, key=key, state=State.CREATING):
            remove(left_over)
        require_free_name(name)
        require_no_place(alias_of(key))
        tenant = announce(name, key, hosts or [default_host(name)])
        with removed_on_failure(tenant):
            fill(tenant)
            let_go(tenant.alias)
            with locked_row(tenant) as row:
                row.state = state
                row.save(update_fields=["state"])
    return row


def announce(name: str, key: str, hosts: Iterable[str], state: str = State.CREATING) -> Tenant:
    """The rows of a tenant, which is about to be made as a rule: all of them or none, and committed."""
    with atomic_for(Tenant, durable=True):
        tenant = Tenant.objects.create(name=name, key=key, state=state)
        for host in hosts:
            save_domain(Domain(host=host, tenant=tenant))
    return tenant


@contextmanager
def removed_on_failure(tenant: Tenant) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        try:
            remove(tenant)
        except Exception as another:
            raise TenantError(
                f"{error or type(error).__name__}\nNor could what had been made be removed: {another}\nVisitors don't "
                f"see it. To remove it: python manage.py delete_tenant {tenant.name}"
            ) from error
        raise


def remove(tenant: Tenant) -> None:
    """Remove what there is of a tenant that nobody is served; its row goes last, for it says what is left."""
    let_go(tenant.alias)
    drop_place(tenant.alias)
    forget_alias(tenant.alias)
    delete_files(str(tenant.id))
    tenant.delete()


# Change


@shared_context()
def rename_tenant(tenant: Tenant, name: str) -> bool:
    """Call a tenant ``name``, and its subdomain too if it has the one of its name; False if it is called so already.

    Its alias stays, and what that leads to. So nothing is moved, and its site stays open.
    """
    require_name(name)
    with locked_row(tenant) as row:
        require_whole(row)
        if row.name == name:
            return False
        require_free_name(name)
        own = row.domains.filter(host=default_host(row.name)).first()
        row.name = name
        row.save(update_fields=["name"])
        if own and own.host != default_host(name):
            own.host = default_host(name)
            save_domain(own)
    return True


@shared_context()
def add_domain(tenant: Tenant, host: str) -> bool:
    """Serve the tenant's site at ``host`` too; False if it is already."""
    with locked_row(tenant) as row:
        require_whole(row)
        if row.domains.filter(host=normalise_host(host)).exists():
            return False
        save_domain(Domain(host=host, tenant=row))
    return True


@shared_context()
def remove_domain(host: str) -> Tenant:
    """Serve no site at ``host`` any more; gives the tenant whose it was."""
    domain = Domain.objects.filter(host=normalise_host(host)).select_related("tenant").first()
    if domain is None:
        raise TenantError(f"No tenant has the host {host!r}; `python manage.py list_tenants` shows them all.")
    with locked_row(domain.tenant) as row:
        require_whole(row)
        if not row.domains.exclude(pk=domain.pk).exists():
            raise TenantError(
                f"{domain.host} is the only host of {row.name!r}. Add another first (python manage.py add_domain "
                f"{row.name} HOST), or close the site (python manage.py suspend_tenant {row.name})."
            )
        domain.delete()
    return row


@shared_context()
def suspend_tenant(tenant: Tenant) -> bool:
    """Close the site, and keep all there is; False if it is closed already."""
    return change_state(tenant, State.SUSPENDED)


@shared_context()
def resume_tenant(tenant: Tenant) -> bool:
    """Open the site that ``suspend_tenant`` has closed; False if it is open."""
    return change_state(tenant, State.ACTIVE)


def change_state(tenant: Tenant, state: str) -> bool:
    with locked_row(tenant) as row:
        require_whole(row)
        if row.state == state:
            return False
        row.state = state
        row.save(update_fields=["state"])
    return True


@contextmanager
def locked_row(tenant: Tenant, *, durable: bool = False) -> Iterator[Tenant]:
    """The row as it is now, which nobody else changes until the block, a transaction, has ended."""
    with atomic_for(Tenant, durable=durable):
        row = Tenant.objects.select_for_update().filter(pk=tenant.pk).first()
        if row is None:
            raise TenantError(f"The tenant {tenant.name!r} has been deleted meanwhile.")
        yield row


def save_domain(domain: Domain) -> None:
    try:
        domain.full_clean()
    except ValidationError as error:
        raise TenantError(f"{domain.host}: {' '.join(error.messages)}") from None
    domain.save()


# What a tenant may be called, and where it may be


def default_host(name: str) -> str:
    """The tenant's subdomain of the base domain; host names have no underscores."""
    return f"{name.replace('_', '-')}.{settings.TENANT_BASE_DOMAIN}"


def key_for(name: str) -> str:
    """The key of the tenant called ``name``; of a new one its name, or that with a number if a renamed one has it."""
    if tenant := Tenant.objects.filter(name=name).first():
        return tenant.key
    endings = (f"_{number}" for number in count(2))
    keys = chain([name], (name[: MAX_LENGTH - len(ending)].rstrip("_") + ending for ending in endings))
    return next(key for key in keys if not Tenant.objects.filter(key=key).exists())


def require_name(name: str) -> None:
    try:
        validate_name(name)
    except ValidationError as error:
        raise TenantError(" ".join(error.messages)) from None


def require_free_name(name: str) -> None:
    if tenant := Tenant.objects.filter(name=name).first():
        require_whole(tenant)
        raise TenantError(f"There is a tenant called {name!r} already; `python manage.py list_tenants` shows all.")


def require_whole(tenant: Tenant) -> None:
    """Raise TenantError if nobody may do anything with it but make it again or remove it."""
    if tenant.state in WHOLE:
        return
    name = tenant.name
    again = f"create_tenant {name} (or clone_tenant SOURCE {name}), or " if tenant.state == State.CREATING else ""
    raise TenantError(
        f"The tenant {name!r} is not whole: its state is {tenant.state}. A command is at work on it, or was killed. If "
        f"it was, run it again: python manage.py {again}delete_tenant {name}"
    )


def require_own_place(key: str) -> None:
    if alias_of(key) not in connections.settings:
        raise TenantError(f"A tenant called {key!r} would share the shared database: choose another name.")
    require_no_static_route(alias_of(key))


def require_no_static_route(alias: str) -> None:
    """Its visitors would be served whatever the row says, and so what is half made or half removed."""
    if hosts := [host for host, routed in settings.DYNAMIC_DB_ROUTES.items() if routed == alias]:
        raise TenantError(
            f"DYNAMIC_DB_ROUTES in .env leads {', '.join(hosts)} to {alias!r} whatever there is. Take it out, restart "
            "the site's processes, then run this again."
        )


def require_no_place(alias: str) -> None:
    if place_exists(alias):
        raise TenantError(
            f"There is {name_of(connections[alias])!r} on the server already. If it is the left-over of a tenant "
            "that is gone, remove it; otherwise choose another name."
        )


# Find


def get_tenant(name: str) -> Tenant:
    """The tenant called ``name``, in whatever state it is."""
    try:
        return Tenant.objects.get(name=name)
    except Tenant.DoesNotExist:
        raise TenantError(f"No tenant is called {name!r}. {known_names()}") from None


def hosts_of(tenant: Tenant) -> str:
    """Its hosts in words."""
    return ", ".join(domain.host for domain in tenant.domains.all())


def known_names() -> str:
    names = list(Tenant.objects.values_list("name", flat=True)[:21])
    if len(names) > 20:
        return "`python manage.py list_tenants` shows them all."
    return f"Tenants: {', '.join(names) or 'there is none yet'}."


def get_tenants(names: Iterable[str] | None = None) -> list[Tenant]:
    """The tenants called so, or all that are neither half made nor half removed."""
    if not names:
        return list(Tenant.objects.filter(state__in=WHOLE))
    tenants = [get_tenant(name) for name in names]
    for tenant in tenants:
        require_whole(tenant)
    return tenants


def tenant_aliases() -> list[str]:
    """The aliases of these tenants; none, as long as the shared database has no tables."""
    if Tenant._meta.db_table not in connections[DEFAULT_DB_ALIAS].introspection.table_names():
        return []
    return [alias_of(key) for key in Tenant.objects.filter(state__in=WHOLE).values_list("key", flat=True)]
