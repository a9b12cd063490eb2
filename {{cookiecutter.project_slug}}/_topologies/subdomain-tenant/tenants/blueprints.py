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
from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from config import databases
from dbrouting.mapping import complete
from dbrouting.provisioning import create_database, drop_database
from dbrouting.targets import get_targets
from dbrouting.tenant_names import alias_of
from tenants.errors import TenantBusyError
from tenants.fingerprints import data_migrations_on, fingerprint
from tenants.kinds import Contents, PlaceKind
from tenants.locks import tenant_lock
from tenants.models import Blueprint

logger = logging.getLogger(__name__)

PATIENCE = 60  # seconds to wait for another process that makes the same blueprint


def make_from_blueprint(connection: BaseDatabaseWrapper, kind: PlaceKind) -> bool:
    """Make the place that ``connection`` leads to; False if only ``migrate`` can."""
    if data_migrations_on(connection.alias) != data_migrations_on(any_alias()):
        return False
    return kind.make(connection, fingerprint()) or (build(kind) and kind.make(connection, fingerprint()))


def build(kind: PlaceKind) -> bool:
    """Make the blueprint of the running code and remove the outdated ones; False if there can be none."""
    with ExitStack() as stack:
        try:
            stack.enter_context(patient_lock())
        except TenantBusyError:
            return False
        with empty_place("building") as first, empty_place("checking") as second:
            if kind.has_blueprint(first, fingerprint()):  # made while this process waited
                return True
            if Blueprint.objects.filter(fingerprint=fingerprint()).exclude(refusal="").exists():
                return False
            script, why_not = draft(kind, first, second)
            Blueprint.objects.exclude(fingerprint=fingerprint()).delete()
            if why_not:
                refuse(why_not)
                return False
            kind.keep(first, fingerprint(), script)
            kind.remove_outdated(first, fingerprint())
    return True


def draft(kind: PlaceKind, first: BaseDatabaseWrapper, second: BaseDatabaseWrapper) -> tuple[str, str]:
    """Fill ``first`` as new places will be; gives the script, where there is one, and why it won't do, if it won't."""
    try:
        script = kind.draft(first, run_migrations)
    except OperationalError:
        raise
    except DatabaseError as error:
        return "", f"what they did can't be repeated: {error}"
    create_database(second)
    run_migrations(second)
    return script, difference(kind.contents(first), kind.contents(second))


def difference(one: Contents, other: Contents) -> str:
    """Where the two are not the same; empty if they are."""
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            return f"{name} isn't the same wherever they run"
    return ""


def refuse(why: str) -> None:
    """Say so once, and remember it until the migrations change."""
    Blueprint.objects.create(fingerprint=fingerprint(), script="", refusal=why)
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
def empty_place(name: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection, known in the block by an alias of its own, to a place that isn't there; what is made is removed."""
    config = complete(databases.place_beside_tenants(name))
    alias = any_alias()
    connection: BaseDatabaseWrapper = load_backend(config["ENGINE"]).DatabaseWrapper(config, alias)
    connections[alias] = connection
    try:
        drop_database(connection)  # the left-over of a process that was killed
        yield connection
    finally:
        drop_database(connection)
        connection.close()
        del connections[alias]


@contextmanager
def patient_lock() -> Iterator[None]:
    """Keep other processes from making blueprints; TenantBusyError if one doesn't get done."""
    give_up = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock_of_blueprints())
                break
            except TenantBusyError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
        yield


@contextmanager
def lock_of_blueprints() -> Iterator[None]:
    config = complete(databases.place_beside_tenants("building"))
    alias = any_alias()
    connections[alias] = load_backend(config["ENGINE"]).DatabaseWrapper(config, alias)
    try:
        with tenant_lock(alias):
            yield
    finally:
        del connections[alias]
