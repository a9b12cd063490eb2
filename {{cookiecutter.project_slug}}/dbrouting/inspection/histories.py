"""What a database should hold at its point of the migrations' history; computed once for all that are at the same."""

from functools import cached_property

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.models import Model

# App label and name of a migration.
Key = tuple[str, str]


class History:
    """The migrations as a database with ``loader``'s records sees them: squashed or not, applied or not."""

    def __init__(self, loader: MigrationLoader) -> None:
        self.loader = loader
        self.applied: frozenset[Key] = frozenset(loader.applied_migrations)

    @cached_property
    def order(self) -> list[Key]:
        """Every migration, each after those it depends on."""
        graph = self.loader.graph
        return list(dict.fromkeys(key for leaf in sorted(graph.leaf_nodes()) for key in graph.forwards_plan(leaf)))

    @cached_property
    def unapplied(self) -> list[Key]:
        return [key for key in self.order if key not in self.applied]

    @cached_property
    def unknown(self) -> list[Key]:
        """Recorded as applied, without a file; those that a squashed migration stands for are known."""
        replaced = {key for migration in self.loader.disk_migrations.values() for key in migration.replaces}
        return sorted(self.applied - set(self.loader.disk_migrations) - replaced)

    @cached_property
    def contradictions(self) -> list[tuple[Key, Key]]:
        """Migrations that are recorded as applied, each with one that it needs and that isn't."""
        graph = self.loader.graph
        return [
            (key, parent.key)
            for key in self.order
            if key in self.applied
            for parent in sorted(graph.node_map[key].parents)
            if parent.key not in self.applied
        ]

    @cached_property
    def models(self) -> list[type[Model]]:
        """As the applied migrations made them, those behind many-to-many fields included."""
        state = ProjectState(real_apps=self.loader.unmigrated_apps)
        for key in self.order:
            if key in self.applied:
                migration: Migration = self.loader.graph.nodes[key]
                state = migration.mutate_state(state, preserve=False)
        return list(state.apps.get_models(include_auto_created=True))

    def is_migrated(self, model: type[Model]) -> bool:
        """Whether migrations make its table, rather than ``migrate --run-syncdb``."""
        return model._meta.app_label not in self.loader.unmigrated_apps

    def tables(self, connection: BaseDatabaseWrapper) -> dict[str, type[Model]]:
        """The tables that should be there, by name."""
        return {
            model._meta.db_table: model
            for model in self.models
            if model._meta.can_migrate(connection) and router.allow_migrate_model(connection.alias, model)
        }

    def rolled_back_with(self, app_label: str) -> set[Key]:
        """The records that ``migrate app_label zero`` removes: it takes the app's dependants along."""
        graph = self.loader.graph
        return {
            key for root in graph.root_nodes(app_label) for key in graph.backwards_plan(root) if key in self.applied
        }


class Histories:
    """One for each set of records that is met: a thousand databases at the same point share one."""

    def __init__(self) -> None:
        self._known: dict[frozenset[Key], History] = {}

    def of(self, connection: BaseDatabaseWrapper) -> History:
        recorded = frozenset(MigrationRecorder(connection).applied_migrations())
        if recorded not in self._known:
            self._known[recorded] = History(MigrationLoader(connection, ignore_no_migrations=True))
        return self._known[recorded]
