"""Data migrations that run once, on the right database.

Django runs a migration once for each database that its app may live in, and the ORM calls inside ``RunPython``
follow the routers instead of the database being migrated. ``@runs_on`` settles both; the system check built on
``unguarded_operations`` finds the migrations that forgot.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import NamedTuple

from django.apps import AppConfig, apps
from django.conf import settings
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps

from dbrouting.mapping import alias_matches
from dbrouting.overrides import in_database

DataMigration = Callable[[StateApps, BaseDatabaseSchemaEditor], None]


def runs_on(*patterns: str) -> Callable[[DataMigration], DataMigration]:
    """Run a ``RunPython`` function on these databases only, with its ORM calls routed to the one being migrated.

    ``patterns`` are aliases or shell patterns (``"archive_*"``). ``RunSQL`` takes ``hints={"runs_on": alias}``.
    Rows of another database are reached by ``.using(alias)``.
    """

    def decorate(function: DataMigration) -> DataMigration:
        @wraps(function)
        def inner(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
            alias = schema_editor.connection.alias
            if alias_matches(alias, patterns):
                with in_database(alias, write=True):
                    function(apps, schema_editor)

        inner.runs_on = patterns  # type: ignore[attr-defined]  # functions carry attributes, their type can't say so
        return inner

    return decorate


class DataOperation(NamedTuple):
    """A ``RunPython`` or ``RunSQL`` of one of the project's own migrations."""

    app_label: str
    migration: str
    operation: RunPython | RunSQL

    @property
    def steps(self) -> list[object]:
        """What it runs, forwards and backwards."""
        operation = self.operation
        if isinstance(operation, RunPython):
            steps: list[object] = [operation.code, operation.reverse_code]
        else:
            steps = [operation.sql, operation.reverse_sql]
        return [step for step in steps if step not in (None, RunPython.noop, RunSQL.noop)]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The databases it was told to run on; empty if some step was not told."""
        if hint := self.operation.hints.get("runs_on"):
            return (hint,)
        told: list[tuple[str, ...]] = [getattr(step, "runs_on", ()) for step in self.steps]
        return tuple(pattern for patterns in told for pattern in patterns) if all(told) else ()

    def __str__(self) -> str:
        return f"{type(self.operation).__name__} in {self.app_label}.{self.migration}"


def data_operations() -> Iterator[DataOperation]:
    """Every RunPython and RunSQL in the project's own apps, read from the migration files without a database."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for (app_label, name), migration in sorted(loader.disk_migrations.items()):
        if is_own_app(apps.get_app_config(app_label)):
            for operation in _flatten(migration.operations):
                if isinstance(operation, RunPython | RunSQL):
                    yield DataOperation(app_label, name, operation)


def unguarded_operations() -> Iterator[DataOperation]:
    """Those that don't say where they run."""
    return (found for found in data_operations() if found.steps and not found.patterns)


def is_own_app(app_config: AppConfig) -> bool:
    """Whether the app's code is in this project, rather than installed by it (a ``.venv`` is inside the folder)."""
    path = Path(app_config.path)
    return path.is_relative_to(settings.BASE_DIR) and "site-packages" not in path.parts


def _flatten(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _flatten(operation.database_operations)
        else:
            yield operation
