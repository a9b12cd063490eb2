"""Blueprints: what ``migrate`` leaves in an empty place, kept so that the next one needn't wait for ``migrate``.

One is made where none fits the migrations of the running code, under a lock and under another name until it is
complete: a process that is killed meanwhile leaves nothing that is ever used, and the next one removes it.

Nothing is taken on trust. The migrations are run a second time, for a tenant of another name, and what they leave must
be the same but for dates. So rows that differ from tenant to tenant, secrets that a data migration draws for instance,
are never copied: there is no blueprint then, and each tenant is migrated.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from config import databases
from dbrouting.mapping import complete
from dbrouting.provisioning import create_database, drop_database
from dbrouting.targets import get_targets
from dbrouting.tenant_names import alias_of
from tenants.errors import TenantBusyError
from tenants.locks import tenant_lock
from tenants.models import Blueprint
from tenants.places.fingerprints import data_migrations_on, fingerprint
from tenants.places.kinds import Contents, NoBlueprintError, PlaceKind

logger = logging.getLogger(__name__)

PATIENCE = 60  # seconds to wait for another process that makes the same blueprint


def make_from_blueprint(connection: BaseDatabaseWrapper, kind: PlaceKind) -> bool:
    """Make the place that ``connection`` leads to; False if only ``migrate`` can."""
    if data_migrations_on(connection.alias) != data_migrations_on(any_alias()):
        return False
    return kind.make(connection, fingerprint()) or (build(connection, kind) and kind.make(connection, fingerprint()))


def build(connection: BaseDatabaseWrapper, kind: PlaceKind) -> bool:
    """Make the blueprint of the running code and remove the outdated ones; False if there can be none."""
    with ExitStack() as stack:
        try:
            stack.enter_context(patient_lock())
        except TenantBusyError:
            return False
        if kind.has_blueprint(connection, fingerprint()):  # made while this process waited
            return True
        return not is_refused() and build_alone(kind)


def build_alone(kind: PlaceKind) -> bool:
    with scratch_place("building") as first, scratch_place("checking") as second:
        Blueprint.objects.exclude(fingerprint=fingerprint()).delete()
        try:
            script = kind.draft(first, run_migrations)
            create_database(second)
            run_migrations(second)
            require_equal(kind.contents(first), kind.contents(second))
        except NoBlueprintError as error:
            refuse(str(error))
            return False
        kind.keep(first, fingerprint(), script)
        kind.remove_outdated(first, fingerprint())
    return True


def require_equal(one: Contents, other: Contents) -> None:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            raise NoBlueprintError(f"{name} isn't the same wherever they run")


def is_refused() -> bool:
    return Blueprint.objects.filter(fingerprint=fingerprint()).exclude(refusal="").exists()


def refuse(why: str) -> None:
    """Say so once, and remember it until the migrations change."""
    Blueprint.objects.update_or_create(fingerprint=fingerprint(), defaults={"script": "", "refusal": why})
    logger.warning("New tenants are migrated one by one: there is no copying what the migrations leave, for %s.", why)


def run_migrations(connection: BaseDatabaseWrapper) -> None:
    """Django's own ``migrate``: the place is nobody's, there is nothing to be locked or checked."""
    alias = connection.alias
    with get_targets().migrating(alias):
        call_command(migrate.Command(), database=alias, interactive=False, verbosity=0, skip_checks=True)


def any_alias() -> str:
    """As a tenant's might be; no tenant's is."""
    return alias_of(f"x{secrets.token_hex(9)}")


@contextmanager
def beside_tenants(name: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection to a place beside the tenants', known in the block by the alias of a tenant that isn't there."""
    config = complete(databases.place_beside_tenants(name))
    alias = any_alias()
    connection: BaseDatabaseWrapper = load_backend(config["ENGINE"]).DatabaseWrapper(config, alias)
    connections[alias] = connection
    try:
        yield connection
    finally:
        connection.close()
        del connections[alias]


@contextmanager
def scratch_place(name: str) -> Iterator[BaseDatabaseWrapper]:
    """The same, and there is nothing yet; what is made in the block is removed after it."""
    with beside_tenants(name) as connection:
        drop_database(connection)  # the left-over of a process that was killed
        try:
            yield connection
        finally:
            drop_database(connection)


@contextmanager
def patient_lock() -> Iterator[None]:
    """Keep other processes from making blueprints; TenantBusyError if one doesn't get done."""
    give_up = time.monotonic() + PATIENCE
    with beside_tenants("building") as connection, ExitStack() as stack:
        while True:
            try:
                stack.enter_context(tenant_lock(connection.alias))
                break
            except TenantBusyError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
        yield
