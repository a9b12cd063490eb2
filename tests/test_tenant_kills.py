"""Commands about tenants are killed at each of their steps; no visitor sees what is half done, and all of it can go."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import Bootstrapped
from databases import Databases, OnPostgreSQL, OnServers
from killing import Killable, killable_process

HOST, FILE = "initech.localhost", "initech.txt"
DELETE = ("delete_tenant", "initech", "--no-input")
pytestmark = pytest.mark.once
on_every_server = variants([found for found in COMBINATIONS if found.topology == "subdomain-tenant"])


class TenantLife(Killable):
    """What there is of a tenant, before and after kills."""

    def __init__(self, process: subprocess.Popen[str], project: Path, databases: Databases) -> None:
        super().__init__(process)
        self.project = project
        self.databases = databases

    def remove(self) -> None:
        """Delete what is there of the tenant, if anything is."""
        if self.left():
            self.manage(*DELETE)
        assert self.left() == []

    def listed(self) -> Any:
        return json.loads(self.done("manage", "list_tenants", "--json")["output"])

    def status(self, host: str = HOST) -> int:
        return self.done("status", host)["answer"]

    def rows(self, name: str) -> Any:
        """All of a tenant's, but for its sessions."""
        return json.loads(self.done("manage", "dumpdata", f"--tenant={name}", "--exclude=sessions")["output"])

    def content(self, name: str) -> dict[str, list[str]]:
        """A tenant's tables with their rows, seen from outside."""
        (place,) = (place for place in self.databases.places() if Path(place.name).stem.endswith(f"_{name}"))
        return self.databases.content(place)

    def left(self) -> list[str]:
        """What is called like the tenant: rows, places on the server, uploaded files."""
        rows = [tenant["name"] for tenant in self.listed() if tenant["name"] == "initech" or HOST in tenant["hosts"]]
        return [*rows, *self.places_left(), *map(str, self.project.rglob(FILE))]

    def places_left(self) -> list[str]:
        """Seen from outside. The lock that a killed process held in a file is none."""
        beginning = self.databases.environment.get("TENANT_DATABASE_PREFIX", "tenant")  # others use the server too
        if not isinstance(self.databases, OnServers):
            names = [path.name for path in (self.project / "data").iterdir() if path.suffix != ".lock"]
        else:
            server, shared = self.databases.cluster.primary, urlsplit(self.databases.environment["DATABASE_URL"]).path
            names = server.databases()
            if isinstance(self.databases, OnPostgreSQL):
                schemas = server.execute("SELECT nspname FROM pg_namespace", database=shared.removeprefix("/"))
                names += [name for (name,) in schemas]
        return [name for name in names if name.startswith(f"{beginning}_initech")]


@pytest.fixture(scope="session")
def killables(bootstrapped: Bootstrapped) -> Iterator[Callable[[Combination], TenantLife]]:
    with ExitStack() as stack:
        started: dict[Combination, TenantLife] = {}

        def start(combination: Combination) -> TenantLife:
            if combination not in started:
                started[combination] = stack.enter_context(killable(*bootstrapped(combination)))
            return started[combination]

        yield start


@contextmanager
def killable(project: Path, databases: Databases) -> Iterator[TenantLife]:
    with killable_process(project, TENANT_LOOKUP_SECONDS="0", **databases.environment) as process:
        yield TenantLife(process, project, databases)


@pytest.fixture
def life(killables: Callable[[Combination], TenantLife], combination: Combination) -> Iterator[TenantLife]:
    """Afterwards nothing is left, and another tenant is what it was."""
    found = killables(combination)
    before = found.rows("acme")
    yield found
    found.remove()
    assert found.rows("acme") == before


@on_every_server
@pytest.mark.parametrize(
    "words", [("create_tenant", "initech"), ("clone_tenant", "acme", "initech")], ids=lambda w: w[0]
)
def test_a_tenant_whose_making_is_killed_is_not_there_and_made_by_the_next_run(
    life: TenantLife, words: tuple[str, ...]
) -> None:
    last = life.manage(*words) - 1
    whole = life.rows("initech")
    life.remove()
    filled = "copy_place" if words[0] == "clone_tenant" else "make_place"
    kills: list[dict[str, Any]] = [{"before_statement": number} for number in (0, last // 2, last)]

    for number, kill in enumerate([*kills, {"after": f"tenants.services.{filled}"}]):
        life.kill("manage", *words, **kill)

        assert life.status() == 404, kill
        if number % 2:
            life.manage(*words)
            assert life.status() == 200
            assert life.rows("initech") == whole
        life.remove()


@on_every_server
def test_a_tenant_whose_deletion_is_killed_is_whole_or_gone_for_visitors(life: TenantLife) -> None:
    life.manage("create_tenant", "initech")
    last = life.manage(*DELETE) - 1

    for statement in (0, 1, last):
        life.manage("create_tenant", "initech")
        life.done("upload", "initech", FILE)
        life.kill("manage", *DELETE, before_statement=statement)

        assert life.status() == (404 if statement else 200)
        life.manage(*DELETE)
        assert life.left() == [], statement


@on_every_server
def test_a_change_of_rows_that_is_killed_is_as_if_it_had_not_begun(life: TenantLife) -> None:
    life.manage("create_tenant", "initech")
    pairs = [
        ("suspend_tenant initech", "resume_tenant initech"),
        ("rename_tenant initech hooli", "rename_tenant hooli initech"),
        ("add_domain initech new.localhost", "remove_domain new.localhost"),
    ]
    for pair in pairs:
        statements = [life.manage(*command.split()) for command in pair]
        for command, count in zip(pair, statements, strict=True):
            before = life.listed()
            for number in {0, count - 1}:
                life.kill("manage", *command.split(), before_statement=number)
                assert life.listed() == before, (command, number)
            life.manage(*command.split())
            assert life.listed() != before


@on_every_server
def test_what_is_made_in_the_admin_is_announced_before_it_is_made(life: TenantLife) -> None:
    """In the transaction that Django's admin works in, the row would be gone, and the place nobody's."""
    life.kill("administrate", "add", "", json.dumps({"name": "initech"}), after="tenants.services.make_place")

    assert life.status() == 404
    assert life.places_left()
    assert life.done("administrate", "add", "", json.dumps({"name": "initech"}))["answer"] == 302
    assert life.status() == 200
    life.kill("administrate", "delete", "initech", json.dumps({"name": "initech"}), after="tenants.services.drop_place")
    assert life.status() == 404
    assert life.done("administrate", "delete", "initech", json.dumps({"name": "initech"}))["answer"] == 302
    assert life.left() == []


ROLL_BACK = [("sqlite", "database"), ("postgresql", "schema")]
on_what_rolls_back = variants(
    [
        found
        for found in COMBINATIONS
        if found.topology == "subdomain-tenant" and (found.database_engine, found.tenant_isolation) in ROLL_BACK
    ]
)
MIGRATION = """\
from django.db import migrations, models

from dbrouting.migration_guard import runs_on


@runs_on("tenant_*")
def count(apps, schema_editor):
    apps.get_model("orders.Counted").objects.create(size={number})


class Migration(migrations.Migration):
    dependencies = [("orders", "{needed}")]
    operations = [{operation}, migrations.RunPython(count)]
"""
OPERATIONS = (
    """migrations.CreateModel(
        "Counted", [("id", models.AutoField(primary_key=True)), ("size", models.IntegerField(db_index=True))]
    )""",
    """migrations.AddField("counted", "color", models.TextField(default="red"), preserve_default=False)""",
)


@contextmanager
def more_migrations(project: Path) -> Iterator[None]:
    """Two of the orders'."""
    folder = project / "orders" / "migrations"
    needed = max(path.stem for path in folder.glob("0*.py"))
    written = []
    for number, operation in enumerate(OPERATIONS, start=1):
        path = folder / f"09{number}_counted.py"
        path.write_text(MIGRATION.format(number=number, needed=needed, operation=operation))
        written.append(path)
        needed = path.stem
    try:
        yield
    finally:
        for path in written:
            path.unlink()


@on_what_rolls_back
def test_a_killed_run_of_migrations_leaves_none_half_done_and_the_next_does_none_twice(life: TenantLife) -> None:
    names = ("initech", "initech_2")
    for name in names:
        life.manage("create_tenant", name)
    run = ("migrate_tenants", *[f"--tenant={name}" for name in names])

    with more_migrations(life.project):
        kills = 0
        while (answer := life.order("manage", *run, before_statement=kills)) == {"killed": True}:
            kills += 1

    assert "answer" in answer, answer
    assert kills > len(names) * len(OPERATIONS)
    for name in names:
        content = life.content(name)
        assert len(content["orders_counted"]) == len(OPERATIONS)
        assert sum("_counted" in row for row in content["django_migrations"]) == len(OPERATIONS)
    life.manage("delete_tenant", "initech_2", "--no-input")
