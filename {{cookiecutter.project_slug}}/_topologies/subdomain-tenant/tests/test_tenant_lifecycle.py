"""Tenants are made whole or not at all, listed, migrated one and all, and never stand in each other's way."""

import json
import os
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate
from django.db import OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import Client

import config.databases
from accounts.models import User
from catalogue.models import Product
from config import engine
from dbrouting.aliases import migratable_aliases
from dbrouting.overrides import in_database
from dbrouting.provisioning import create_database, database_exists, drop_database
from dbrouting.tenant_connections import close_old_connections
from dbrouting.tenant_context import CurrentTenant, TenantSwitchError, shared_context, tenant_context
from dbrouting.tenant_names import MAX_LENGTH, alias_of, is_tenant_name, key_of
from reference.models import Currency
from tenants import services, targets
from tenants.errors import TenantError
from tenants.models import Domain, Tenant
from tenants.services import create_tenant
from tenants.targets import TenantTargets

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

# On MySQL the project's user may make only what is called so; processes that test at once share the server.
PREFIX = f"test_{config.databases.TENANT_DATABASE_PREFIX}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture(autouse=True)
def _room_for_databases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test makes is beside the project's own databases, and gone after it."""
    name = tmp_path / "any.sqlite3" if "sqlite" in engine.ENGINE else connections["tenant_acme"].settings_dict["NAME"]
    server = {**config.databases.TENANT_SERVER, "CONN_MAX_AGE": 0, "NAME": str(name)}
    monkeypatch.setattr(config.databases, "TENANT_SERVER", server)
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", PREFIX)
    yield
    drop_database(connection_of("initech"))
    del connections["tenant_initech"]  # the next test's is in another folder


def connection_of(name: str) -> BaseDatabaseWrapper:
    return connections[alias_of(name)]


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def fail_to_migrate(monkeypatch: pytest.MonkeyPatch, error: BaseException, alias: str | None = None) -> list[str]:
    """Make ``migrate`` fail, on ``alias`` or wherever; gives what it was asked to migrate."""
    asked: list[str] = []

    def migrate(command: str, **options: Any) -> None:
        asked.append(options["database"])
        if alias in (None, options["database"]):
            raise error

    monkeypatch.setattr(services, "call_command", migrate)
    return asked


# Names


@pytest.mark.parametrize("name", ["a", "acme", "acme_2", "x" * MAX_LENGTH, "a1_b2"])
def test_a_name_is_part_of_the_alias(name: str) -> None:
    assert is_tenant_name(name)
    assert key_of(alias_of(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            "2acme",
            "_acme",
            "acme_",
            "a__b",
            "Acme",
            "ac-me",
            "ac.me",
            "acmé",
            "a b",
            "a\n",
            "x" * (MAX_LENGTH + 1),
        ],
        *["default", "shared", "public", "www", "postgres", "information_schema", "pg_x"],
        *['a"; DROP', "../a", "a?mode=rwc"],
    ],
)
def test_a_dangerous_name_is_refused_everywhere(name: str) -> None:
    assert not is_tenant_name(name)
    assert f"tenant_{name}" not in connections.settings
    with pytest.raises(ValueError, match="can't be the key of a tenant"):
        alias_of(name)
    with pytest.raises(TenantError, match="can't be the name of a tenant"):
        create_tenant(name)
    assert not Tenant.objects.filter(name=name).exists()


# Create


def test_a_created_tenant_is_served_at_once() -> None:
    output = output_of("create_tenant", "initech")

    assert "initech (tenant_initech), at initech.localhost" in output
    assert Client(headers={"host": "initech.localhost"}).get("/").status_code == 200
    with tenant_context(services.get_tenant("initech")):
        assert not User.objects.exists()


def test_a_tenant_may_have_hosts_of_its_own() -> None:
    output_of("create_tenant", "initech", "--host=Shop.Example.", "--host=bücher.example")

    hosts = Domain.objects.filter(tenant__name="initech").values_list("host", flat=True)
    assert set(hosts) == {"shop.example", "xn--bcher-kva.example"}


def test_the_default_host_is_a_host_name() -> None:
    assert services.default_host("big_corp") == "big-corp.localhost"


def test_a_tenant_is_closed_until_its_tables_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    open_meanwhile: list[bool] = []

    def migrate(command: str, **options: Any) -> None:
        open_meanwhile.append(Tenant.objects.get(name="initech").is_active)

    monkeypatch.setattr(services, "call_command", migrate)
    create_tenant("initech")

    assert open_meanwhile == [False]
    assert Tenant.objects.get(name="initech").is_active


@pytest.mark.parametrize("error", [CommandError("no such column"), OperationalError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_no_row_and_no_database(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    fail_to_migrate(monkeypatch, error)

    with pytest.raises(type(error)):
        create_tenant("initech")

    assert not Tenant.objects.filter(name="initech").exists()
    assert not Domain.objects.filter(host="initech.localhost").exists()
    assert not database_exists(connection_of("initech"))
    monkeypatch.undo()


def test_a_command_says_why_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_migrate(monkeypatch, OperationalError("disk full"))

    with pytest.raises(CommandError, match="disk full"):
        call_command("create_tenant", "initech")
    with pytest.raises(CommandError, match="a tenant called 'acme' already"):
        call_command("create_tenant", "acme")


@pytest.mark.parametrize("hosts", [["acme.localhost"], ["new.example", "acme.localhost"], ["localhost"], ["no host"]])
def test_a_host_that_cannot_be_had_leaves_nothing(hosts: list[str]) -> None:
    with pytest.raises(TenantError, match=hosts[-1]):
        create_tenant("initech", *hosts)

    assert not Tenant.objects.filter(name="initech").exists()
    assert not Domain.objects.filter(host="new.example").exists()
    assert not database_exists(connection_of("initech"))


def test_a_database_that_is_there_already_is_neither_used_nor_removed() -> None:
    create_database(connection_of("initech"))

    with pytest.raises(TenantError, match=f"There is .*{PREFIX}_initech.* on the server already"):
        create_tenant("initech")

    assert database_exists(connection_of("initech"))
    assert not Tenant.objects.filter(name="initech").exists()


def test_a_tenants_own_code_cannot_make_tenants(acme: CurrentTenant) -> None:
    with tenant_context(acme), pytest.raises(TenantSwitchError):
        create_tenant("initech")


# List


def test_tenants_are_listed_for_people_and_for_programs() -> None:
    Tenant.objects.filter(name="globex").update(state=Tenant.State.SUSPENDED)

    assert "acme" in output_of("list_tenants")
    assert "globex.localhost  suspended" in output_of("list_tenants")
    rows = json.loads(output_of("list_tenants", "--json"))
    assert [(row["name"], row["alias"], row["hosts"], row["state"]) for row in rows] == [
        ("acme", "tenant_acme", ["acme.localhost"], "active"),
        ("globex", "tenant_globex", ["globex.localhost"], "suspended"),
    ]


def test_an_empty_list_says_how_to_make_a_tenant() -> None:
    Tenant.objects.all().delete()

    assert "create_tenant" in output_of("list_tenants")
    assert json.loads(output_of("list_tenants", "--json")) == []


# Migrate


def test_migrate_tenants_really_migrates() -> None:
    create_tenant("initech")
    call_command("migrate", "orders", "zero", database="tenant_initech", verbosity=0)

    output_of("migrate_tenants", "--tenant=initech")

    assert "orders_order" in connection_of("initech").introspection.table_names()


def test_migrate_tenants_holds_no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.databases.TENANT_SERVER, "CONN_MAX_AGE", 60)
    create_tenant("initech")

    output_of("migrate_tenants", "--tenant=initech")

    assert connection_of("initech").connection is None


def test_migrate_knows_the_tenants_from_their_table() -> None:
    create_tenant("initech")

    assert list(migratable_aliases()) == ["default", "tenant_acme", "tenant_globex", "tenant_initech"]


def test_data_migrations_that_only_ask_the_routers_write_to_the_database_being_migrated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of packages, which can't say `runs_on`; `create_tenant` migrates while it works for the shared site."""
    asked: list[str] = []
    monkeypatch.setattr(
        migrate.Command,
        "handle",
        lambda *args, **options: asked.extend(map(router.db_for_write, (Product, User, Currency))),
    )

    with shared_context():
        call_command("migrate", database="tenant_acme", verbosity=0)
    call_command("migrate", database="tenant_globex", verbosity=0)

    assert asked == ["tenant_acme", "tenant_acme", "default", "tenant_globex", "tenant_globex", "default"]


def test_before_the_first_migration_there_are_no_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"].introspection, "table_names", list)

    assert services.tenant_aliases() == []


# Unlisted


def test_a_tenants_alias_is_found_but_never_walked_over() -> None:
    create_tenant("initech")

    assert "tenant_initech" in connections.settings
    assert "tenant_initech" not in list(connections)
    with in_database("tenant_initech"):
        assert not Product.objects.exists()


def test_a_request_closes_the_connection_it_opened_to_its_tenant() -> None:
    create_tenant("initech")
    close_old_connections()
    opened: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
        opened.append(connection)

    connection_created.connect(note)
    try:
        Client(headers={"host": "initech.localhost"}).get("/")
    finally:
        connection_created.disconnect(note)

    assert {connection.alias for connection in opened} == {"tenant_initech"}
    assert all(connection.connection is None for connection in opened)


def test_a_request_does_not_make_a_database_that_is_missing() -> None:
    initech = Tenant.objects.create(name="initech", state=Tenant.State.ACTIVE)
    Domain.objects.create(host="initech.localhost", tenant=initech)

    with pytest.raises(OperationalError):
        Client(headers={"host": "initech.localhost"}).get("/")

    assert not database_exists(connection_of("initech"))


# Commands for tenants


def labels(**options: Any) -> list[str]:
    return [label for label, _ in TenantTargets().each(options)]


def test_commands_act_on_every_tenant_or_on_the_named_ones() -> None:
    assert labels() == labels(tenant=None) == ["acme", "globex"]
    assert labels(tenant=["globex"]) == ["globex"]
    assert labels(tenant=["globex", "acme"]) == ["globex", "acme"]
    assert labels(database="tenant_acme") == ["tenant_acme"]
    with pytest.raises(CommandError, match="'nobody'"):
        labels(tenant=["nobody"])
    with pytest.raises(CommandError, match=r"--database.*--tenant"):
        output_of("seed_demo", "--database=tenant_acme", "--tenant=globex")


def test_a_command_called_by_a_tenants_code_acts_on_that_tenant(acme: CurrentTenant) -> None:
    with tenant_context(acme):
        assert labels() == ["acme"]


@pytest.mark.parametrize(
    ("options", "counts"),
    [([], [3, 3]), (["--tenant=globex"], [0, 3]), (["--database=tenant_acme"], [3, 0])],
)
def test_the_demo_data_is_seeded_tenant_by_tenant(options: list[str], counts: list[int]) -> None:
    output = output_of("seed_demo", *options)

    assert [User.objects.using(alias).count() for alias in ("tenant_acme", "tenant_globex")] == counts
    assert output.count("Demo data of") == sum(count > 0 for count in counts)


def test_preparing_the_demo_makes_the_tenants_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "DEMO_TENANTS", ("acme", "initech"))

    TenantTargets().prepare_demo()
    TenantTargets().prepare_demo()

    assert set(Tenant.objects.values_list("name", flat=True)) == {"acme", "globex", "initech"}


@pytest.mark.parametrize(
    "command",
    [
        lambda: call_command("check"),
        lambda: call_command("makemigrations", "--check", "--dry-run", verbosity=0),
        lambda: call_command("createsuperuser", "--no-input", "--username=root", "--email=root@example.com"),
        lambda: call_command("dumpdata", "accounts", database="tenant_acme", stdout=StringIO()),
        lambda: call_command("showmigrations", database="tenant_acme", stdout=StringIO()),
    ],
)
def test_djangos_commands_work_without_a_tenant(command: Callable[[], object]) -> None:
    command()


def test_dumpdata_of_a_tenant_follows_its_relations(acme: CurrentTenant) -> None:
    with tenant_context(acme):
        User.objects.create(username="ada").groups.create(name="staff")

    dump = StringIO()
    call_command("dumpdata", "accounts.user", "auth.group", database="tenant_acme", stdout=dump)

    user = next(row for row in json.loads(dump.getvalue()) if row["model"] == "accounts.user")
    assert len(user["fields"]["groups"]) == 1
