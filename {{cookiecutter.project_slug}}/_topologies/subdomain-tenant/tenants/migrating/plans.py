"""What the migrations do to a tenant, worked out once for all tenants with the same records.

Django's executor loads the migrations, builds their graph and draws the models of every step anew for each database,
which takes a hundred times longer than the statements themselves. Here a tenant costs its statements, in the same
order and the same transactions as Django's.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.contenttypes.management import inject_rename_contenttypes_operations
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration, SeparateDatabaseAndState
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState, StateApps
from django.db.models.signals import post_migrate, pre_migrate
from django.dispatch import Signal
from django.utils.module_loading import module_has_submodule

from tenants.migrating.state import Applied, Key

# Whose receivers do nothing where the models and their permissions stay the same.
KNOWN_RECEIVERS = ("django.contrib.", "tenants.")


class MigrationError(Exception):
    """A migration that failed, with the reason; what came before it is done and recorded."""

    def __init__(self, migration: Migration, error: Exception) -> None:
        super().__init__(f"{migration}: {in_one_line(error)}")


def in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Plan:
    """The migrations that are missing at ``connection``, whose records are ``applied``."""

    def __init__(self, connection: BaseDatabaseWrapper, applied: Applied) -> None:
        executor = MigrationExecutor(connection)
        self.loader = executor.loader
        self.loader.check_consistent_history(connection)
        leaves = self.loader.graph.leaf_nodes()
        missing = {migration for migration, _ in executor.migration_plan(leaves)}
        in_order = [migration for migration, _ in executor.migration_plan(leaves, clean_start=True)]
        self.applied = applied
        self.migrations = [migration for migration in in_order if migration in missing]
        # For the loader, a squashed migration is applied where all that it stands for are.
        self._past = [migration for migration in in_order if key_of(migration) in self.loader.applied_migrations]
        if self.migrations:
            plan = [(migration, False) for migration in self.migrations]
            inject_rename_contenttypes_operations(plan=plan, apps=self.state().apps, using=connection.alias)

    def state(self) -> ProjectState:
        """What the applied migrations made; a new one each time."""
        state = ProjectState(real_apps=self.loader.unmigrated_apps)
        for migration in self._past:
            state = migration.mutate_state(state, preserve=False)
        return state

    def for_receivers(self) -> list[tuple[Migration, bool]]:
        """As the signals have it; a new one each time, for receivers add operations to it."""
        return [(type(migration)(migration.name, migration.app_label), False) for migration in self.migrations]

    def records_of(self, key: Key) -> Iterator[Key]:
        """The rows that an applied migration leaves: a squashed one those, too, that it stands for."""
        migration = self.loader.disk_migrations.get(key)
        for replaced in migration.replaces if migration else ():
            yield from self.records_of(replaced)
        yield key

    @cached_property
    def completed_squashes(self) -> list[Key]:
        """Squashed migrations that all they stand for makes applied, without a record so far."""
        there = set(self.applied)
        there.update(key for migration in self.migrations for key in self.records_of(key_of(migration)))
        found: list[Key] = []
        candidates = self.loader.replacements
        while new := [
            key for key in candidates if key not in there and all(part in there for part in candidates[key].replaces)
        ]:
            there.update(new)
            found += new
        return found

    @cached_property
    def result(self) -> Applied:
        """The records afterwards."""
        made = (key for migration in self.migrations for key in self.records_of(key_of(migration)))
        return self.applied | frozenset(made) | frozenset(self.completed_squashes)


def key_of(migration: Migration) -> Key:
    return migration.app_label, migration.name


class Plans:
    """One for each set of records that is met. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: dict[Applied, Plan] = {}

    def of(self, connection: BaseDatabaseWrapper, applied: Applied) -> Plan:
        with self._lock:
            if applied not in self._plans:
                self._plans[applied] = Plan(connection, applied)
            return self._plans[applied]

    def prepare(self, plan: Plan) -> "PreparedPlan":
        with self._lock:
            return PreparedPlan(plan)


class Step(NamedTuple):
    operation: Operation
    before: ProjectState
    after: ProjectState


class PreparedPlan:
    """A plan with the models of every step, drawn once, for one thread: operations change the fields that are there."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.start = state = plan.state()
        state.apps  # noqa: B018  draws the models, which copies of the state then share
        self.steps: list[tuple[Migration, list[Step]]] = []
        for migration in plan.migrations:
            steps: list[Step] = []
            for operation in migration.operations:
                draw_delayed(state, operation)
                before, state = state, state.clone()
                operation.state_forwards(migration.app_label, state)
                steps.append(Step(operation, before, state))
            self.steps.append((migration, steps))
        self.end = state
        self.changes_permissions = permissions_in(self.start) != permissions_in(self.end)

    @cached_property
    def apps_afterwards(self) -> StateApps:
        """For receivers, as Django's command makes them: all relations of apps without migrations included."""
        self.end.clear_delayed_apps_cache()
        drawn = self.end.apps
        with drawn.bulk_update():
            real = [(model.app_label, model.name_lower) for model in drawn.real_models]
            for key in real:
                drawn.unregister_model(*key)
        drawn.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in real])
        return drawn

    def run(self, connection: BaseDatabaseWrapper, *, is_new: bool) -> list[str]:
        """Do all of it and give the migrations' names; MigrationError for the first that fails.

        ``is_new`` is said of a tenant of which nobody knows that the last run reached its end: receivers of signals
        are called in any case.
        """
        if self.plan.migrations:
            connection.prepare_database()
        if not self.plan.applied:
            MigrationRecorder(connection).ensure_schema()
        options: dict[str, Any] = {"verbosity": 0, "interactive": False, "db": connection.alias}
        if self.plan.migrations and has_other_receivers(pre_migrate):
            emit_pre_migrate_signal(**options, apps=self.start.apps, plan=self.plan.for_receivers())
        for migration, steps in self.steps:
            try:
                apply(connection, migration, steps, [*self.plan.records_of(key_of(migration))])
            except Exception as error:
                raise MigrationError(migration, error) from error
        record(connection, self.plan.completed_squashes)
        if is_new or self.changes_permissions or has_other_receivers(post_migrate):
            options |= {"apps": self.apps_afterwards, "plan": self.plan.for_receivers()}
            emit_post_migrate_signal(**options, one_of_many=True)
        return [str(migration) for migration in self.plan.migrations]


def draw_delayed(state: ProjectState, operation: Operation) -> None:
    """Operations that may look at every model draw those anew that earlier ones left out: once is enough."""
    is_delayed = getattr(state, "is_delayed", False)
    if is_delayed and (not operation.reduces_to_sql or isinstance(operation, SeparateDatabaseAndState)):
        state.clear_delayed_apps_cache()
        state.apps  # noqa: B018  likewise
        state.is_delayed = False


def apply(connection: BaseDatabaseWrapper, migration: Migration, steps: list[Step], records: list[Key]) -> None:
    """Like Django's, except that the records are in the migration's transaction wherever it is one.

    Django writes them after it if statements were put off to its end: who is killed there has a migration that was
    run and isn't recorded.
    """
    with connection.schema_editor(atomic=migration.atomic) as editor:
        for step in steps:
            with transaction_of(step.operation, migration, editor):
                step.operation.database_forwards(migration.app_label, editor, step.before, step.after)
        if editor.atomic_migration:
            run_deferred(editor)
            record(connection, records)
            return
    record(connection, records)


def transaction_of(
    operation: Operation, migration: Migration, editor: BaseDatabaseSchemaEditor
) -> AbstractContextManager[object]:
    """One for the operation, where the migration isn't one."""
    is_atomic = operation.atomic or (migration.atomic and operation.atomic is not False)
    alias = editor.connection.alias
    return transaction.atomic(alias) if is_atomic and not editor.atomic_migration else nullcontext()


def run_deferred(editor: BaseDatabaseSchemaEditor) -> None:
    for statement in editor.deferred_sql:
        editor.execute(statement, None)
    editor.deferred_sql.clear()


def record(connection: BaseDatabaseWrapper, keys: list[Key]) -> None:
    rows = MigrationRecorder.Migration.objects.using(connection.alias)
    rows.bulk_create([MigrationRecorder.Migration(app=app_label, name=name) for app_label, name in keys])


def permissions_in(state: ProjectState) -> set[tuple[str, ...]]:
    """What Django's receivers make rows of: models, and their permissions."""
    return {
        (*key, repr(model.options.get("default_permissions")), repr(model.options.get("permissions")))
        for key, model in state.models.items()
    }


def has_other_receivers(signal: Signal) -> bool:
    """Whether somebody listens who may want to know of each tenant."""
    senders = [config for config in apps.get_app_configs() if config.models_module]
    return any(
        not str(getattr(receiver, "__module__", "")).startswith(KNOWN_RECEIVERS)
        for sender in senders
        for receivers in signal._live_receivers(sender)
        for receiver in receivers
    )


def import_receivers() -> None:
    """Django's command does so: apps may connect receivers in their ``management``."""
    for config in apps.get_app_configs():
        if config.module and module_has_submodule(config.module, "management"):
            import_module(".management", config.name)
