"""Data migrations run once, on the database they name; those that name none are reported."""

import importlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.core.checks import CheckMessage
from django.db import connections, migrations, router
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState, StateApps

from catalogue.models import Category
from dbrouting import checks
from dbrouting.aliases import usable_aliases
from dbrouting.migration_guard import runs_on
from dbrouting.overrides import OverrideRouter

HOME = next(alias for alias in usable_aliases() if router.allow_migrate(alias, "catalogue"))


def run_everywhere(operation: migrations.RunPython) -> None:
    """As ``migrate`` would: once for each database, if the routers allow the app there."""
    state = ProjectState()
    for alias in usable_aliases():
        editor = cast(Any, SimpleNamespace(connection=connections[alias]))
        operation.database_forwards("catalogue", editor, state, state)


@pytest.mark.django_db
def test_a_guarded_function_runs_once_and_its_rows_land_there() -> None:
    aliases: list[str] = []

    @runs_on(HOME)
    def add_category(apps: StateApps, schema_editor: Any) -> None:
        aliases.append(schema_editor.connection.alias)
        Category.objects.create(name="Tea", slug="tea")

    run_everywhere(migrations.RunPython(add_category))

    assert aliases == [HOME]
    assert Category.objects.using(HOME).filter(slug="tea").exists()


def test_a_guarded_function_does_nothing_elsewhere() -> None:
    """Where the routers leave it to the guard: an app may live on more than one database."""
    ran: list[str] = []

    @runs_on("archive_*")
    def note(apps: StateApps, schema_editor: Any) -> None:
        ran.append(schema_editor.connection.alias)

    for alias in usable_aliases():
        note(cast(Any, None), cast(Any, SimpleNamespace(connection=connections[alias])))

    assert ran == []


def test_the_override_router_itself_heeds_the_hint() -> None:
    assert OverrideRouter().allow_migrate("one", "catalogue", runs_on="other") is False
    assert OverrideRouter().allow_migrate("one", "catalogue", runs_on="one") is None
    assert OverrideRouter().allow_migrate("one", "catalogue") is None


def test_orm_calls_of_a_guarded_function_follow_the_database_being_migrated() -> None:
    routed: list[tuple[str, str]] = []

    @runs_on("*")
    def note(apps: StateApps, schema_editor: Any) -> None:
        alias = schema_editor.connection.alias
        routed.append((alias, str(OverrideRouter().db_for_write(Category))))

    for alias in usable_aliases():
        note(cast(Any, None), cast(Any, SimpleNamespace(connection=connections[alias])))

    assert routed == [(alias, alias) for alias in usable_aliases()]


def test_a_hint_keeps_an_operation_off_the_other_databases() -> None:
    allowed = [alias for alias in usable_aliases() if router.allow_migrate(alias, "catalogue", runs_on=HOME)]

    assert allowed == [HOME]


def unguarded(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> list[CheckMessage]:
    """What the checks say of a migration of ours that has ``operation``."""
    migration = importlib.import_module("catalogue.migrations.0001_initial").Migration
    monkeypatch.setattr(migration, "operations", [*migration.operations, operation])
    return [*checks.check_unguarded_migrations(None), *checks.check_migrations_run_somewhere(None)]


def do_nothing(apps: StateApps, schema_editor: Any) -> None:
    """A data migration."""


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RunPython(do_nothing),
        migrations.RunSQL("SELECT 1"),
        migrations.RunPython(migrations.RunPython.noop, do_nothing),
        migrations.RunPython(runs_on(HOME)(do_nothing), do_nothing),
        migrations.RunSQL(migrations.RunSQL.noop, "SELECT 1"),
        migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL("SELECT 1")]),
    ],
)
def test_an_unguarded_operation_is_reported(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    [warning] = unguarded(operation, monkeypatch)

    assert warning.id == "dbrouting.W001"
    assert "catalogue.0001_initial" in warning.msg
    assert "runs_on" in str(warning.hint)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RunPython(runs_on(HOME)(do_nothing)),
        migrations.RunPython(runs_on(HOME)(do_nothing), runs_on(HOME)(do_nothing)),
        migrations.RunPython(runs_on("*")(do_nothing)),
        migrations.RunPython(do_nothing, hints={"runs_on": HOME}),
        migrations.RunPython(migrations.RunPython.noop),
        migrations.RunSQL("SELECT 1", hints={"runs_on": HOME}),
        migrations.RunSQL(migrations.RunSQL.noop),
    ],
)
def test_a_guarded_operation_is_not_reported(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unguarded(operation, monkeypatch) == []


def test_a_misspelt_alias_is_an_error_because_the_migration_would_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    [error] = unguarded(migrations.RunPython(runs_on("defualt")(do_nothing)), monkeypatch)

    assert error.id == "dbrouting.E003"
    assert HOME in str(error.hint)


def test_the_migrations_of_installed_packages_are_not_ours_to_report() -> None:
    assert checks.check_unguarded_migrations(None) == []  # django.contrib has unguarded ones
