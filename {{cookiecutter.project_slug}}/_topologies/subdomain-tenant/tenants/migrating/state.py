"""Which migrations a tenant has had: as the shared database remembers it, beside those of the running code.

What is remembered is written after all is done, receivers of ``post_migrate`` included, so that a run that was killed
is seen by the next; and before anything is undone.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from dbrouting.site_cache import sites
from dbrouting.tenant_names import key_of
from tenants.models import Tenant

# App label and name of a migration.
Key = tuple[str, str]
Applied = frozenset[Key]


class CodeMigrations(NamedTuple):
    """Those that a new tenant gets; for each squashed one those that it stands for; apps that don't know their last."""

    all: Applied
    replaced: dict[Key, list[Key]]
    conflicts: dict[str, list[str]]

    def missing_from(self, applied: Applied) -> Applied:
        return frozenset(key for key in self.all if not self.is_in(applied, key))

    def is_in(self, applied: Applied, key: Key) -> bool:
        """A squashed one is there as soon as all that it stands for are."""
        parts = self.replaced.get(key)
        return key in applied or (parts is not None and all(self.is_in(applied, part) for part in parts))

    def stood_for(self, key: Key) -> Iterator[Key]:
        for part in self.replaced.get(key, ()):
            yield part
            yield from self.stood_for(part)


@cache
def code_migrations() -> CodeMigrations:
    """Read once per process: the code doesn't change while it runs."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    replaced = {key: list(migration.replaces) for key, migration in loader.replacements.items()}
    return CodeMigrations(frozenset(loader.graph.nodes), replaced, loader.detect_conflicts())


def records_of_new() -> str:
    """What is remembered of a tenant that ``migrate`` has just made: of a squashed migration the parts, too."""
    code = code_migrations()
    return to_text(code.all.union(*(code.stood_for(key) for key in code.all)))


def is_behind(migrations: str) -> bool:
    """Whether the code has migrations that aren't among the remembered ones; so it is where nothing is remembered.

    A tenant that is ahead isn't behind: migrations come first, and then the code that needs them.
    """
    return bool(code_migrations().missing_from(from_text(migrations)))


def to_text(applied: Iterable[Key]) -> str:
    return "\n".join(sorted(f"{app_label}.{name}" for app_label, name in applied))


def from_text(migrations: str) -> Applied:
    return frozenset((label, name) for label, _, name in (line.partition(".") for line in migrations.splitlines()))


def record_migrations(alias: str) -> None:
    """Remember what is applied at a tenant's now. Call it when nothing remains to be done."""
    applied = MigrationRecorder(connections[alias]).applied_migrations()
    remember({to_text(applied): [key_of(alias)]})


def remember(keys: dict[str, list[str | None]]) -> None:
    """Write ``migrations`` of the tenants with these keys, one statement for all that are at the same."""
    for migrations, tenants in keys.items():
        Tenant.objects.filter(key__in=tenants).exclude(migrations=migrations).update(migrations=migrations)
    sites.clear()


def tenants_are_known() -> bool:
    """Not before the shared database has been migrated."""
    return Tenant._meta.db_table in connections[DEFAULT_DB_ALIAS].introspection.table_names()


def before_migrate(using: str, plan: list[tuple[Migration, bool]], **kwargs: Any) -> None:
    """What is about to be undone counts as undone: a run that fails half-way leaves the tenant behind the code."""
    undone = {(migration.app_label, migration.name) for migration, is_backwards in plan if is_backwards}
    if undone and key_of(using) and tenants_are_known():
        applied = MigrationRecorder(connections[using]).applied_migrations()
        remember({to_text(set(applied) - undone): [key_of(using)]})


def after_migrate(
    using: str, plan: list[tuple[Migration, bool]] | None = None, one_of_many: bool = False, **kwargs: Any
) -> None:
    """There is no plan when rows were flushed: nothing was migrated. Who migrates many writes it down for all."""
    if plan is not None and not one_of_many and key_of(using) and tenants_are_known():
        record_migrations(using)
