"""A migration that the running version couldn't live with is reported, on whichever database its app lives."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from dbrouting.management.commands.lintmigrations import homes, labels_with_migrations

MIGRATION = """from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("{label}", "{latest}")]
    operations = [migrations.AddField("{model}", "added", models.IntegerField({arguments}))]
"""

AddColumns = Callable[[str], None]


@pytest.fixture
def add_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[AddColumns]:
    """A further migration of each app, in copies of their others."""

    def add(arguments: str) -> None:
        for label in labels_with_migrations():
            package = tmp_path / f"{label}_with_another"
            package.mkdir()
            for path in Path(str(import_module(f"{label}.migrations").__file__)).parent.glob("*.py"):
                (package / path.name).write_text(path.read_text("utf-8"), "utf-8")
            latest = max(path.stem for path in package.glob("0*.py"))
            model = next(apps.get_app_config(label).get_models())._meta.model_name
            source = MIGRATION.format(label=label, latest=latest, model=model, arguments=arguments)
            (package / "0999_another.py").write_text(source, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        settings.MIGRATION_MODULES = {label: f"{label}_with_another" for label in labels_with_migrations()}

    yield add
    for name in [name for name in sys.modules if "_with_another" in name]:
        del sys.modules[name]


@pytest.mark.django_db(transaction=True)  # inside of one SQLite tells no migration's SQL
def test_a_column_that_the_running_version_would_leave_empty_is_reported(
    add_columns: AddColumns, capsys: pytest.CaptureFixture[str]
) -> None:
    add_columns("default=0")

    with pytest.raises(CommandError) as error:
        call_command("lintmigrations")

    printed = capsys.readouterr().out
    assert str(error.value).startswith(f"On {', '.join(homes())}: ")
    for label in labels_with_migrations():
        assert printed.count(f"({label}, 0999_another)... ERR\n\tNOT NULL constraint on columns") == 1


@pytest.mark.django_db(transaction=True)
def test_the_projects_own_migrations_and_a_column_that_may_be_empty_pass(
    add_columns: AddColumns, capsys: pytest.CaptureFixture[str]
) -> None:
    add_columns("null=True")

    call_command("lintmigrations", quiet=["ignore"])

    printed = capsys.readouterr().out
    for label in labels_with_migrations():
        assert printed.count(f"({label}, 0001_initial)... OK") == 1
        assert printed.count(f"({label}, 0999_another)... OK") == 1


def test_a_database_can_not_be_chosen() -> None:
    with pytest.raises(CommandError, match="leave out --database"):
        call_command("lintmigrations", database="default")
