"""Somebody else's database is adopted by the lines of docs/read-only.md: read by models, and written by nobody."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import SERVER_FIXTURES, DatabasesOf
from processes import manage, run
from servers import USER, Server

pytestmark = pytest.mark.once

SCHEMA = (
    "CREATE TABLE crm_customer (id integer PRIMARY KEY, name varchar(100) NOT NULL)",
    "CREATE TABLE crm_visit (id integer PRIMARY KEY, customer_id integer NOT NULL, "
    "FOREIGN KEY (customer_id) REFERENCES crm_customer (id))",
    "INSERT INTO crm_customer VALUES (1, 'Ada')",
    "INSERT INTO crm_visit VALUES (7, 1)",
)
TESTS = """
import pytest

from dbrouting.adopted_tables import filling
from dbrouting.read_only import ReadOnlyDatabaseError
from legacy.models import CrmCustomer, CrmVisit


def fill_and_read() -> None:
    with filling("legacy_db"):
        grace = CrmCustomer.objects.create(id=1, name="Grace")
        CrmVisit.objects.create(id=1, customer=grace)

    assert CrmVisit.objects.select_related("customer").get().customer.name == "Grace"
    with pytest.raises(ReadOnlyDatabaseError, match="legacy.CrmCustomer can't be written: the database 'legacy_db'"):
        CrmCustomer.objects.update(name="")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 2])
def test_rows_are_gone_after_a_test(number: int) -> None:
    fill_and_read()


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 2])
def test_rows_are_gone_after_a_test_in_a_transaction(number: int) -> None:
    fill_and_read()
"""
# Past our own refusal, to what the server says.
FORCE = """
from django.db import DatabaseError, connections
connections["legacy_db"].ensure_connection()
connections["legacy_db"].execute_wrappers.clear()
from legacy.models import CrmCustomer
print(CrmCustomer.objects.get().name)
try:
    CrmCustomer.objects.update(name="")
except DatabaseError as error:
    print("refused:", error)
from django.core.management import CommandError, call_command
try:
    call_command("migrate", database="legacy_db")
except CommandError as error:
    print("migrate refused")
"""


def insert(path: Path, before: str, line: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, f"{line}\n{before}"), "utf-8")


@pytest.fixture
def legacy_url(request: pytest.FixtureRequest, combination: Combination, tmp_path: Path) -> Iterator[str]:
    """A database that was there before the project."""
    if combination.database_engine == "sqlite":
        with closing(sqlite3.connect(tmp_path / "crm.sqlite3")) as connection:
            connection.executescript(";".join(SCHEMA))
        yield f"sqlite:///{tmp_path}/crm.sqlite3"
        return
    server: Server = request.getfixturevalue(SERVER_FIXTURES[combination.database_engine]).primary
    server.execute("CREATE DATABASE crm")
    for statement in SCHEMA:
        server.execute(statement, database="crm")
    if combination.database_engine == "postgresql":
        server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {USER}", database="crm")
    yield server.url("crm")
    server.drop_database("crm")


def written_down(project: Path, beginning: str) -> str:
    """What the page has its reader write."""
    page = (project / "docs" / "read-only.md").read_text("utf-8")
    return next(line.strip() for line in re.split(r"[`\n]", page) if line.strip().startswith(beginning))


def adopt(project: Path, variables: dict[str, str]) -> None:
    settings, databases = project / "config" / "settings.py", project / "config" / "databases.py"
    insert(databases, "from dbrouting.mapping", "from config.read_only import read_only_database")
    insert(databases, '        "orders_db": database(', " " * 8 + written_down(project, '"legacy_db": '))
    (project / "legacy").mkdir()
    (project / "legacy" / "__init__.py").touch()
    models = manage(project, "inspectdb", "--database=legacy_db", **variables)
    (project / "legacy" / "models.py").write_text(models[models.index("#") :], "utf-8")
    insert(settings, '    "demo",\n', '    "legacy",')
    insert(databases, '    "orders": ', " " * 4 + written_down(project, '"legacy": '))
    manage(project, "makemigrations", "legacy", **variables)


@variants([combination for combination in COMBINATIONS if combination.topology == "app-split"])
def test_a_legacy_schema_is_adopted_and_never_written(
    fresh: Callable[..., Path], databases: DatabasesOf, legacy_url: str, combination: Combination
) -> None:
    project = fresh(**combination._asdict())
    variables = {**databases(project, combination, "legacy").environment, "LEGACY_DATABASE_URL": legacy_url}
    manage(project, "bootstrap", "--no-demo", **variables)
    adopt(project, variables)

    assert "Database legacy_db" not in manage(project, "migrate", **variables)
    report = manage(project, "check_databases", "--json", "--database=legacy_db", **variables)
    assert '"error"' not in report
    output = manage(project, "shell", "--verbosity=0", "-c", FORCE, **variables)
    assert re.search("^Ada\nrefused: .*\nmigrate refused$", output, flags=re.MULTILINE)
    (project / "legacy" / "tests.py").write_text(TESTS, "utf-8")
    run(project, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "legacy/tests.py", **variables)
