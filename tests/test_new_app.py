"""A new app, by the lines of the README: its tables and its rows are where its reader decided."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import SQLITE, Combination, variants
from databases import SQLiteFiles
from processes import manage, run

pytestmark = pytest.mark.once

MODELS = """from django.db import models


class Parcel(models.Model):
    {field}
"""
TESTS = """import pytest

from shipping.models import Parcel
from dbrouting.factories import RoutedModelFactory


class ParcelFactory(RoutedModelFactory[Parcel]):
    class Meta:
        model = Parcel


@pytest.mark.django_db
def test_a_parcel_is_where_the_router_says() -> None:
    parcel = ParcelFactory.create(order_id=1)

    assert parcel._state.db == {home!r}
    assert Parcel.objects.get() == parcel
"""
FIELD = "order_id = models.PositiveBigIntegerField(db_index=True)"
HOMES = {"app-split": "shipping_db", "primary-replica": "default", "subdomain-tenant": "tenant_acme"}
TABLES = {
    "app-split": {"shipping.sqlite3"},
    "primary-replica": {"default.sqlite3"},
    "subdomain-tenant": {"tenant_acme.sqlite3", "tenant_globex.sqlite3"},
}


class Section:
    """What a section of a README has its reader type and write."""

    def __init__(self, project: Path, heading: str) -> None:
        _, _, rest = (project / "README.md").read_text("utf-8").partition(f"### {heading}\n")
        self.text, _, _ = rest.partition("\n### ")

    def line(self, beginning: str) -> str:
        return next(span for span in re.findall(r"`([^`\n]+)`", self.text) if span.startswith(beginning))

    def commands(self) -> list[str]:
        (fence,) = re.findall(r"```bash\n(.*?)```", self.text, flags=re.DOTALL)
        return [line.strip().removeprefix("uv run ") for line in fence.splitlines() if line.strip()]


def insert(path: Path, before: str, line: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, f"{line}\n{before}"), "utf-8")


def write_app(project: Path, home: str) -> None:
    insert(project / "config" / "settings.py", '    "demo",\n', '    "shipping",')
    (project / "shipping" / "models.py").write_text(MODELS.format(field=FIELD), "utf-8")
    (project / "shipping" / "test_parcels.py").write_text(TESTS.format(home=home), "utf-8")


def paste_diagram(project: Path) -> None:
    """As the section says, into the README."""
    readme = project / "README.md"
    diagram = manage(project, "show_routing", "--mermaid")
    text, pasted = re.subn(r"(```mermaid\n).*?(```)", rf"\1{diagram}\2", readme.read_text("utf-8"), flags=re.DOTALL)
    assert pasted == 1
    readme.write_text(text, "utf-8")


def files_with_the_table(project: Path) -> set[str]:
    files = SQLiteFiles(project)
    return {place.name for place in files.places() if "shipping_parcel" in files.tables(place)}


@variants([combination for combination in SQLITE if combination.topology == "app-split"])
def test_app_split_a_new_app_gets_a_database_of_its_own(fresh: Callable[..., Path], combination: Combination) -> None:
    project = fresh(**combination._asdict())
    section = Section(project, "Add an app and decide where it lives")
    assert section.line("order_id") == FIELD
    run(project, *shlex.split(section.line("uv run python manage.py startapp").removeprefix("uv run ")))
    write_app(project, HOMES[combination.topology])
    insert(project / ".env", "ORDERS_DATABASE_URL", section.line("SHIPPING_DATABASE_URL"))
    databases = project / "config" / "databases.py"
    insert(databases, '        "orders_db": database(', "        " + section.line('"shipping_db": database('))
    insert(databases, '    "orders": ', "    " + section.line('"shipping": '))
    for command in section.commands():
        run(project, *shlex.split(command))
    paste_diagram(project)

    assert files_with_the_table(project) == TABLES[combination.topology]
    run(project, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")  # nothing counts on the samples alone


@variants([combination for combination in SQLITE if combination.topology != "app-split"])
def test_a_new_app_is_where_apps_are_that_no_list_names(fresh: Callable[..., Path], combination: Combination) -> None:
    project = fresh(**combination._asdict())
    manage(project, "bootstrap", "--demo")
    manage(project, "startapp", "shipping")
    write_app(project, HOMES[combination.topology])
    manage(project, "makemigrations")
    manage(project, "migrate")

    assert files_with_the_table(project) == TABLES[combination.topology]
    run(project, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "shipping")
