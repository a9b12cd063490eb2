"""Tenants are migrated together: as Django would do each of them, but for what is the same for all."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.core.management.sql import emit_post_migrate_signal
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate, pre_migrate
from django.test import Client

import config.databases
from config import engine
from dbrouting.aliases import let_go
from dbrouting.mapping import complete
from dbrouting.provisioning import create_database, drop_database
from dbrouting.site_cache import sites
from dbrouting.tenant_names import alias_of
from tenants.errors import TenantBusyError
from tenants.locks import run_lock, tenant_lock
from tenants.migrating import plans, runs
from tenants.migrating.bulk import applied_on
from tenants.migrating.state import Applied, after_migrate, code_migrations, is_behind, records_of_new, to_text
from tenants.models import Domain, Tenant
from tenants.services import get_tenants

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

NAMES = ("one", "two", "three")

FIRST = """[
    migrations.CreateModel("Thing", [("id", models.AutoField(primary_key=True)), ("name", models.TextField())]),
]"""
ADD_SIZE = """[migrations.AddField("thing", "size", models.IntegerField(default=7), preserve_default=False)]"""

Write = Callable[..., None]


@pytest.fixture(scope="module")
def empty_places(room: dict[str, Any], django_db_blocker: Any) -> Iterator[None]:
    """Where three tenants' tables are to be, beside the project's own."""
    with patch.multiple(config.databases, **room), django_db_blocker.unblock():
        for tenant in NAMES:
            drop_database(connections[alias_of(tenant)])
            create_database(connections[alias_of(tenant)])
        yield
        for tenant in NAMES:
            drop_database(connections[alias_of(tenant)])
            del connections[alias_of(tenant)]


@pytest.fixture
def tenants(empty_places: None) -> list[Tenant]:
    """Three, and no other, with empty places."""
    Tenant.objects.all().delete()
    for name in NAMES:
        empty(alias_of(name))
    found = [Tenant(name=name, key=name, state=Tenant.State.ACTIVE) for name in NAMES]
    Tenant.objects.bulk_create(found)
    Domain.objects.bulk_create(Domain(host=f"{tenant.name}.localhost", tenant=tenant) for tenant in found)
    return found


def empty(alias: str) -> None:
    """As ``create_database`` left it; a database takes PostgreSQL too long to make."""
    connection = connections[alias]
    if connection.vendor == "postgresql" and "SCHEMA" not in connection.settings_dict:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return
    drop_database(connection)
    create_database(connection)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Write]:
    """Write a migration of the catalogue, the only app that has any in these tests."""
    package = tmp_path / f"migrations_{tmp_path.name.strip('_')}_{os.getpid()}"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {config.label: None for config in apps.get_app_configs()} | {"catalogue": package.name}
    written: list[str] = []

    def write(name: str, operations: str, *, more: str = "", first: bool = False) -> None:
        dependencies = [("catalogue", written[-1])] if written and not first else []
        (package / f"{name}.py").write_text(
            "from django.db import migrations, models\nfrom dbrouting.migration_guard import runs_on\n"
            f"from {__name__} import add_thing, fail, fail_on_two, interrupt_twice, note_transaction, open_archive\n"
            f"from {__name__} import stop\n\n"
            f"class Migration(migrations.Migration):\n    dependencies = {dependencies}\n    {more}\n"
            f"    operations = {operations}\n"
        )
        written.append(name)
        code_migrations.cache_clear()

    yield write
    code_migrations.cache_clear()


@pytest.fixture(autouse=True)
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where ``post_migrate`` would have been sent: there are no tables here that Django's receivers could fill."""
    sent: list[str] = []

    def send(*args: Any, db: str = "", **options: Any) -> None:
        sent.append(db or args[2])
        after_migrate(using=sent[-1], **options)

    monkeypatch.setattr(plans, "emit_post_migrate_signal", send)
    monkeypatch.setattr(migrate, "emit_post_migrate_signal", send)
    return sent


# What migrations call

transactions: list[bool] = []
archives: list[Any] = []
unlucky = {"tenant_two"}


def note_transaction(apps: Any, editor: Any) -> None:
    transactions.append(editor.connection.in_atomic_block)


def fail_on_two(apps: Any, editor: Any) -> None:
    if editor.connection.alias in unlucky:
        raise ValueError("two has no luck")


def add_thing(apps: Any, editor: Any) -> None:
    apps.get_model("catalogue.Thing").objects.create(a=5)


def fail(apps: Any, editor: Any) -> None:
    raise ValueError("not for tenants")


def open_archive(apps: Any, editor: Any) -> None:
    connections["archive"].connect()
    archives.append(connections["archive"])


def stop(apps: Any, editor: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt_twice(apps: Any, editor: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in a terminal: what a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# What tests ask


def columns(alias: str) -> dict[str, list[str]]:
    connection = connections[alias]
    with connection.cursor() as cursor:
        return {
            table: sorted(column.name for column in connection.introspection.get_table_description(cursor, table))
            for table in connection.introspection.table_names(cursor)
        }


def constraints(alias: str, table: str) -> list[tuple[list[str], bool]]:
    connection = connections[alias]
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table).values()
    return sorted((constraint["columns"], constraint["unique"]) for constraint in found)


def records(alias: str) -> list[str]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT name FROM django_migrations ORDER BY id")
        return [name for (name,) in cursor.fetchall()]


def execute(alias: str, statement: str) -> list[Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def remembered(name: str) -> list[str]:
    return Tenant.objects.get(name=name).migrations.splitlines()


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out, no_color=True)
    return out.getvalue()


# What is applied


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_tenant_gets_what_it_lacks_and_the_next_run_nothing(
    tenants: list[Tenant], write: Write, signalled: list[str], jobs: int
) -> None:
    write("0001_initial", FIRST)
    assert "Migrated 1 tenant; 0 up to date" in output_of("migrate_tenants", "--tenant=two", f"--jobs={jobs}")
    write("0002_size", ADD_SIZE)

    assert "Migrated 3 tenants; 0 up to date" in output_of("migrate_tenants", f"--jobs={jobs}")

    for name in NAMES:
        assert columns(alias_of(name))["catalogue_thing"] == ["id", "name", "size"]
        assert records(alias_of(name)) == ["0001_initial", "0002_size"]
        assert remembered(name) == ["catalogue.0001_initial", "catalogue.0002_size"]
    signalled.clear()
    assert "Migrated 0 tenants; 3 up to date" in output_of("migrate_tenants", f"--jobs={jobs}")
    assert not signalled


def test_it_leaves_what_django_leaves(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    write("0002_size", ADD_SIZE)
    write("0003_label", """[migrations.RenameField("thing", "name", "label")]""")
    write(
        "0004_owner",
        """[
            migrations.CreateModel("Owner", [("id", models.AutoField(primary_key=True))]),
            migrations.AddField("thing", "owner", models.ForeignKey("catalogue.Owner", models.CASCADE, null=True)),
            migrations.AlterField("thing", "size", models.CharField(max_length=9, unique=True)),
            migrations.AddIndex("thing", models.Index(fields=["size", "owner"], name="thing_by_size")),
        ]""",
    )
    write(
        "0005_by_hand",
        """[
            migrations.SeparateDatabaseAndState(
                [
                    migrations.AddField("thing", "a", models.IntegerField(null=True)),
                    migrations.AddField("thing", "b", models.IntegerField(null=True)),
                ],
                [migrations.AddField("thing", "a", models.IntegerField(null=True))],
            ),
            migrations.RunSQL("UPDATE catalogue_thing SET a = 1", hints={"runs_on": "tenant_*"}),
            migrations.RunSQL("UPDATE nowhere SET a = 1", hints={"runs_on": "default"}),
            migrations.RunPython(runs_on("tenant_*")(add_thing)),
            migrations.RunPython(runs_on("default")(fail)),
        ]""",
    )
    write("0006_gone", """[migrations.RemoveField("thing", "a")]""")

    output_of("migrate_tenants", "--tenant=one", "--tenant=two")
    call_command("migrate", database="tenant_three", verbosity=0)

    for alias in ("tenant_one", "tenant_two"):
        assert columns(alias) == columns("tenant_three")
        assert constraints(alias, "catalogue_thing") == constraints("tenant_three", "catalogue_thing")
        assert records(alias) == records("tenant_three")
        rows = "SELECT id, label, size, b FROM catalogue_thing"
        assert execute(alias, rows) == execute("tenant_three", rows) != []
    assert remembered("one") == remembered("three")


def test_a_default_for_the_rows_that_are_there_is_used_for_every_tenant(tenants: list[Tenant], write: Write) -> None:
    """The operation changes the field while it runs, and the tenants share it."""
    write("0001_initial", FIRST)
    output_of("migrate_tenants")
    for name in NAMES:
        execute(alias_of(name), "INSERT INTO catalogue_thing (name) VALUES ('old')")
    write("0002_size", ADD_SIZE)

    output_of("migrate_tenants", "--jobs=2")

    assert [execute(alias_of(name), "SELECT size FROM catalogue_thing") for name in NAMES] == [[(7,)]] * 3


def test_jobs_close_whatever_a_migration_has_connected_to(
    tenants: list[Tenant], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = complete({"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "archive.sqlite3")})
    monkeypatch.setitem(connections.settings, "archive", archive)
    write("0001_initial", "[migrations.RunPython(open_archive)]")
    archives.clear()

    output_of("migrate_tenants", "--jobs=2")

    assert [archive.connection for archive in archives] == [None] * len(NAMES)


@pytest.mark.parametrize("of_migration", [True, False])
@pytest.mark.parametrize("of_operation", [None, True, False])
def test_transactions_are_those_of_django(
    tenants: list[Tenant], write: Write, of_migration: bool, of_operation: bool | None
) -> None:
    operations = f"[migrations.RunPython(note_transaction, atomic={of_operation})]"
    write("0001_initial", operations, more=f"atomic = {of_migration}")
    transactions.clear()

    output_of("migrate_tenants", "--tenant=one")
    call_command("migrate", database="tenant_two", verbosity=0)

    ours, djangos = transactions
    assert ours == djangos


def test_a_squashed_migration_is_recorded_where_its_parts_were_applied_and_run_where_none_was(
    tenants: list[Tenant], write: Write
) -> None:
    write("0001_initial", FIRST)
    write("0002_size", ADD_SIZE)
    output_of("migrate_tenants", "--tenant=one")
    replaces = 'replaces = [("catalogue", "0001_initial"), ("catalogue", "0002_size")]'
    write("0001_squashed", f"{FIRST} + {ADD_SIZE}", more=replaces, first=True)
    assert not is_behind("\n".join(remembered("one")))

    output_of("migrate_tenants")

    for name in NAMES:
        assert sorted(records(alias_of(name))) == ["0001_initial", "0001_squashed", "0002_size"]
        assert to_text(applied_on(connections[alias_of(name)])) == records_of_new()
        assert columns(alias_of(name))["catalogue_thing"] == ["id", "name", "size"]
    assert "Migrated 0 tenants; 3 up to date" in output_of("migrate_tenants")


def test_what_is_the_same_for_all_is_worked_out_once(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants", "--tenant=two")
    write("0002_size", ADD_SIZE)
    made: list[str] = []
    for kind in (plans.Plan, plans.PreparedPlan):
        monkeypatch.setattr(kind, "__init__", counted(kind.__init__, made, kind.__name__))

    output_of("migrate_tenants")

    assert sorted(made) == ["Plan", "Plan", "PreparedPlan", "PreparedPlan"]


def counted(function: Callable[..., None], made: list[str], name: str) -> Callable[..., None]:
    def init(self: object, *args: Any) -> None:
        made.append(name)
        function(self, *args)

    return init


# Failures


def test_one_failure_does_not_keep_the_others_and_the_next_run_does_the_rest(
    tenants: list[Tenant], write: Write, signalled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("0001_initial", FIRST)
    write("0002_size", f"{ADD_SIZE} + [migrations.RunPython(fail_on_two)]")

    with pytest.raises(CommandError) as failure:
        call_command("migrate_tenants")

    assert "1 of 3 tenants could not be migrated:\n  two: catalogue.0002_size: two has no luck" in str(failure.value)
    assert "run `python manage.py migrate_tenants` again" in str(failure.value)
    assert [records(alias_of(name))[1:] for name in NAMES] == [["0002_size"], [], ["0002_size"]]
    assert remembered("two") == []
    if connections["tenant_two"].features.can_rollback_ddl:
        assert columns("tenant_two")["catalogue_thing"] == ["id", "name"]
    else:
        execute("tenant_two", "ALTER TABLE catalogue_thing DROP COLUMN size")
    signalled.clear()
    monkeypatch.setattr(sys.modules[__name__], "unlucky", set())
    assert "Migrated 1 tenant; 2 up to date" in output_of("migrate_tenants")
    assert signalled == ["tenant_two"]


def test_a_place_that_cannot_be_reached_is_a_failure_like_others(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    drop_database(connections["tenant_two"])

    try:
        with pytest.raises(CommandError, match=r"two: The database 'tenant_two' can't be reached") as failure:
            call_command("migrate_tenants")
    finally:
        create_database(connections["tenant_two"])

    assert "python manage.py migrate_tenants --tenant two" in str(failure.value)
    assert records("tenant_one") == records("tenant_three") == ["0001_initial"]


def test_a_tenant_that_another_command_works_on_is_left_to_the_next_run(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)

    with tenant_lock("tenant_two"), ThreadPoolExecutor(1) as other:
        error = other.submit(error_of, tenants[1]).result()

    assert "at work on 'tenant_two'" in error
    assert columns("tenant_two") == {}
    assert "Migrated 3 tenants" in output_of("migrate_tenants")


def error_of(tenant: Tenant) -> str:
    """What a worker says that holds none of this thread's locks."""
    try:
        with runs.Worker(plans.Plans()) as worker:
            return worker.migrate(tenant).error
    finally:
        connections.close_all()


def test_a_second_run_is_refused(
    tenants: list[Tenant], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("0001_initial", FIRST)
    if "sqlite" in engine.ENGINE:  # the shared database of tests is in memory, where nobody else could come in
        monkeypatch.setitem(connections[DEFAULT_DB_ALIAS].settings_dict, "NAME", str(tmp_path / "shared.sqlite3"))
    with run_lock(), pytest.raises(CommandError, match="Another `migrate_tenants` is at work"):
        call_command("migrate_tenants")

    call_command("migrate_tenants", verbosity=0)


def test_a_signal_lets_the_tenant_at_hand_be_finished(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", f"{FIRST} + [migrations.RunPython(stop)]")
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(CommandError, match=r"Stopped: 2 tenants .* no turn yet\.\n.*Run `python manage"):
        call_command("migrate_tenants")

    assert signal.getsignal(signal.SIGTERM) == before
    assert [name for name in NAMES if remembered(name)] == [get_tenants()[0].name]


@pytest.mark.usefixtures("interruptible")
def test_the_second_signal_interrupts(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", f"{FIRST} + [migrations.RunPython(interrupt_twice)]")

    with pytest.raises(KeyboardInterrupt):
        call_command("migrate_tenants")

    assert [remembered(name) for name in NAMES] == [[], [], []]
    with run_lock(), tenant_lock("tenant_one"):
        pass


def test_what_a_killed_run_did_not_reach_the_next_one_does(
    tenants: list[Tenant], write: Write, signalled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed after the last migration, and before the receivers of its end."""
    write("0001_initial", FIRST)
    with monkeypatch.context() as killed:
        killed.setattr(runs, "remember", lambda keys: None)
        killed.setattr(plans, "emit_post_migrate_signal", lambda **options: None)
        output_of("migrate_tenants")
    assert [remembered(name) for name in NAMES] == [[], [], []]

    output_of("migrate_tenants")

    assert sorted(signalled) == ["tenant_one", "tenant_three", "tenant_two"]
    assert [records(alias_of(name)) for name in NAMES] == [["0001_initial"]] * 3
    assert [remembered(name) for name in NAMES] == [["catalogue.0001_initial"]] * 3


def test_a_receiver_that_fails_for_one_tenant_does_not_keep_the_others(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*, db: str, **options: Any) -> None:
        if db in unlucky:
            raise ValueError("two has no luck")

    monkeypatch.setattr(plans, "emit_post_migrate_signal", fail)
    write("0001_initial", FIRST)

    with pytest.raises(CommandError, match=r"1 of 3 tenants could not be migrated:\n  two: .*no luck"):
        call_command("migrate_tenants")

    assert [len(remembered(name)) for name in NAMES] == [1, 0, 1]


def test_what_another_command_has_applied_meanwhile_is_not_applied_again(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants", "--tenant=two")
    before_the_lock: list[Applied] = [frozenset()]

    def read(connection: BaseDatabaseWrapper) -> Applied:
        return before_the_lock.pop() if connection.alias == "tenant_two" and before_the_lock else applied_on(connection)

    monkeypatch.setattr(runs, "applied_in_bulk", lambda aliases: {})
    monkeypatch.setattr(runs, "applied_on", read)

    assert "Migrated 2 tenants; 1 up to date" in output_of("migrate_tenants")


def test_a_tenant_that_is_known_to_lack_nothing_is_not_visited(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants")
    known = {tenant.alias: code_migrations().all for tenant in tenants if tenant.name != "two"}
    visited: list[str] = []

    def leave(alias: str) -> None:
        visited.append(alias)
        let_go(alias)

    monkeypatch.setattr(runs, "applied_in_bulk", lambda aliases: known)
    monkeypatch.setattr(runs, "let_go", leave)

    assert "Migrated 0 tenants; 3 up to date" in output_of("migrate_tenants")
    assert visited == ["tenant_two"]


@pytest.mark.parametrize("state", [Tenant.State.CREATING, Tenant.State.DELETING])
def test_a_tenant_that_is_half_made_or_half_removed_is_left_alone(
    tenants: list[Tenant], write: Write, state: Tenant.State
) -> None:
    write("0001_initial", FIRST)
    Tenant.objects.filter(name="two").update(state=state)

    assert "Migrated 2 tenants" in output_of("migrate_tenants")

    assert columns("tenant_two") == {}
    with pytest.raises(CommandError, match="'two' is not whole"):
        call_command("migrate_tenants", "--tenant=two")


def test_branches_that_were_not_merged_are_refused(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    write("0001_other", FIRST, first=True)

    with pytest.raises(CommandError, match=r"0001_initial, 0001_other\..*makemigrations --merge"):
        call_command("migrate_tenants")

    assert columns("tenant_one") == {}


@pytest.mark.parametrize("arguments", [["--tenant=nobody"], ["--jobs=0"]])
def test_what_makes_no_sense_is_refused(tenants: list[Tenant], arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"'nobody'|1 or more"):
        call_command("migrate_tenants", *arguments)


# Signals


def test_signals_are_sent_where_models_changed_or_somebody_else_listens(
    tenants: list[Tenant], write: Write, signalled: list[str]
) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants")
    assert len(signalled) == len(NAMES)
    signalled.clear()

    write("0002_size", ADD_SIZE)
    output_of("migrate_tenants")
    assert not signalled

    write("0003_more", """[migrations.CreateModel("More", [("id", models.AutoField(primary_key=True))])]""")
    output_of("migrate_tenants")
    assert len(signalled) == len(NAMES)
    signalled.clear()

    write("0004_color", """[migrations.AddField("thing", "color", models.TextField(null=True))]""")
    post_migrate.connect(fail_on_two)
    try:
        output_of("migrate_tenants")
    finally:
        post_migrate.disconnect(fail_on_two)
    assert len(signalled) == len(NAMES)


def test_other_receivers_hear_of_each_tenant_before_its_migration(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    heard: list[tuple[str, list[str]]] = []

    def listen(using: str, plan: list[Any], **options: Any) -> None:
        heard.append((using, [str(migration) for migration, _ in plan]))

    pre_migrate.connect(listen, sender=apps.get_app_config("catalogue"))
    try:
        output_of("migrate_tenants")
    finally:
        pre_migrate.disconnect(listen, sender=apps.get_app_config("catalogue"))

    assert sorted(heard) == sorted((alias_of(name), ["catalogue.0001_initial"]) for name in NAMES)


def test_new_models_have_content_types_and_permissions(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(plans, "emit_post_migrate_signal", emit_post_migrate_signal)
    for label in ("auth", "contenttypes"):
        del settings.MIGRATION_MODULES[label]
    write("0001_initial", FIRST)
    output_of("migrate_tenants", "--tenant=one", "--tenant=two")
    write("0002_item", """[migrations.RenameModel("Thing", "Item")]""")

    output_of("migrate_tenants", "--tenant=one", "--tenant=two")

    for alias in ("tenant_one", "tenant_two"):
        models = "SELECT model FROM django_content_type WHERE app_label = 'catalogue'"
        assert execute(alias, models) == [("item",)]
        codes = "SELECT COUNT(*) FROM auth_permission WHERE codename IN ('add_item', 'view_item')"
        assert execute(alias, codes) == [(2,)]


# Looking


def test_a_plan_shows_each_group_of_tenants_and_does_nothing(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants", "--tenant=two")
    write("0002_size", ADD_SIZE)

    output = output_of("migrate_tenants", "--plan")

    assert "two:\n  catalogue.0002_size\n    Add field size to thing\n" in output
    assert "one, three:\n  catalogue.0001_initial\n    Create model Thing\n  catalogue.0002_size\n" in output
    assert "0 tenants up to date, 3 not." in output
    assert columns("tenant_one") == {}


def test_migrate_does_the_tenants_after_the_databases_that_are_listed(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(DjangoMigrate, "handle", lambda *args, **options: listed.append(options["database"]))
    write("0001_initial", f"{FIRST} + [migrations.RunPython(fail_on_two)]")

    with pytest.raises(SystemExit) as end:
        call_command("migrate", "--check", verbosity=0)
    assert end.value.code == 1
    assert "one, three, two:\n  catalogue.0001_initial\n" in output_of("migrate", "--plan")
    assert columns("tenant_one") == {}

    listed.clear()
    with pytest.raises(CommandError, match=r"1 of 6 databases are not.*\n  tenant_two: catalogue.0001_initial: two"):
        call_command("migrate", verbosity=0)

    assert listed == ["default", "tenant_acme", "tenant_globex"]
    assert records("tenant_one") == records("tenant_three") == ["0001_initial"]


def test_migrate_says_so_if_another_run_is_at_the_tenants(
    tenants: list[Tenant], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise TenantBusyError("Another run is at work.")

    monkeypatch.setattr(DjangoMigrate, "handle", lambda *args, **options: None)
    monkeypatch.setattr(runs, "migrate_tenants", refuse)
    write("0001_initial", FIRST)

    with pytest.raises(CommandError, match=r"\n  tenant_\*: Another run is at work"):
        call_command("migrate", verbosity=0)


# Behind the code


def test_a_tenant_behind_the_code_is_not_served(tenants: list[Tenant], write: Write, settings: Any) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants")
    client = Client(headers={"host": "one.localhost"})
    assert "updated" not in client.get("/nowhere/").content.decode()

    write("0002_size", ADD_SIZE)
    sites.clear()
    settings.TENANT_LOOKUP_SECONDS = 4.2
    refused = client.get("/nowhere/")
    assert refused.status_code == 503
    assert "being updated" in refused.content.decode()
    assert refused["Retry-After"] == "5"

    settings.TENANT_SERVE_BEHIND = True
    sites.clear()
    assert client.get("/nowhere/").status_code == 404


def test_a_tenant_of_which_nothing_is_written_down_is_served_once_it_is(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants")
    Tenant.objects.update(migrations="")
    client = Client(headers={"host": "one.localhost"})
    sites.clear()
    assert client.get("/nowhere/").status_code == 503

    output_of("migrate_tenants", "--tenant=one")

    assert remembered("one") == ["catalogue.0001_initial"]
    assert client.get("/nowhere/").status_code == 404


@pytest.mark.parametrize(
    ("migrations", "expected"),
    [
        ("", True),
        ("catalogue.0001_initial", True),
        ("catalogue.0001_initial\ncatalogue.0002_size", False),
        ("catalogue.0001_initial\ncatalogue.0002_size\ncatalogue.0003_of_the_next_release", False),
        ("orders.0001_initial", True),
    ],
)
def test_behind_means_that_something_is_missing(write: Write, migrations: str, expected: bool) -> None:
    write("0001_initial", FIRST)
    write("0002_size", ADD_SIZE)

    assert is_behind(migrations) is expected


def test_a_flush_does_not_write_down_what_is_applied(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    output_of("migrate_tenants")
    Tenant.objects.update(migrations="")

    after_migrate(using="tenant_one")  # it has no plan

    assert remembered("one") == []


def test_what_is_undone_counts_as_undone_before_and_after(tenants: list[Tenant], write: Write) -> None:
    write("0001_initial", FIRST)
    write("0002_size", f"{ADD_SIZE} + [migrations.RunPython(migrations.RunPython.noop, fail_on_two)]")
    output_of("migrate_tenants")

    call_command("migrate", "catalogue", "0001", database="tenant_one", verbosity=0)
    with pytest.raises(ValueError, match="no luck"):
        call_command("migrate", "catalogue", "0001", database="tenant_two", verbosity=0)

    assert remembered("one") == remembered("two") == ["catalogue.0001_initial"]
    assert "Migrated 1 tenant; 2 up to date" in output_of("migrate_tenants")
    assert [len(remembered(name)) for name in NAMES] == [2, 2, 2]
