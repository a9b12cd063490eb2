"""Tenants are made whole or not at all, listed, migrated one and all, and never stand in each other's way."""

import builtins
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http import HTTPStatus
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate
from django.db import OperationalError, ProgrammingError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import Client

import config.databases
from accounts.models import User
from catalogue.models import Product
from dbrouting.aliases import migratable_aliases
from dbrouting.overrides import in_database
from dbrouting.provisioning import create_database, database_exists, drop_database
from dbrouting.sql import atomic_for
from dbrouting.tenant_connections import close_old_connections
from dbrouting.tenant_context import CurrentTenant, TenantSwitchError, shared_context, tenant_context
from dbrouting.tenant_names import MAX_LENGTH, alias_of, is_tenant_name, key_of
from reference.models import Currency
from tenants import services, targets
from tenants.errors import TenantBusyError, TenantError
from tenants.locks import tenant_lock
from tenants.migrating.bulk import applied_on
from tenants.migrating.state import records_of_new, to_text
from tenants.models import Domain, Tenant
from tenants.services import adopt_tenant, clone_tenant, create_tenant, delete_tenant, suspend_tenant
from tenants.targets import TenantTargets

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]


@pytest.fixture(autouse=True)
def _nothing_left_over(room_for_tenants: None) -> Iterator[None]:
    """What a test makes is beside the project's own databases, and gone after it."""
    yield
    for name in ("initech", "initech_2"):
        drop_database(connection_of(name))


def connection_of(name: str) -> BaseDatabaseWrapper:
    return connections[alias_of(name)]


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def hosts_of(name: str) -> set[str]:
    return {domain.host for domain in Domain.objects.filter(tenant__name=name)}


def status_of(host: str) -> int:
    """What a visitor is answered."""
    with shared_context():
        return Client(headers={"host": host}).get("/").status_code


def is_anything_left_of(name: str) -> bool:
    rows = Tenant.objects.filter(name=name).exists() or Domain.objects.filter(tenant__name=name).exists()
    return rows or database_exists(connection_of(name))


def fail(error: BaseException) -> Callable[..., None]:
    def function(*args: Any) -> None:
        raise error

    return function


def half_way(error: BaseException) -> Callable[..., None]:
    """What makes a place, and fails."""

    def function(*aliases: str) -> None:
        create_database(connections[aliases[-1]])
        raise error

    return function


def fail_half_way(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(services, "make_place", half_way(error))


@contextmanager
def held_elsewhere(alias: str) -> Iterator[None]:
    """Another thread holds the lock."""
    is_held, may_end = Event(), Event()

    def hold() -> None:
        with tenant_lock(alias):
            is_held.set()
            may_end.wait(30)
        connections.close_all()

    thread = Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(30)
        yield
    finally:
        may_end.set()
        thread.join()


@pytest.fixture
def _places_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "make_place", lambda alias: create_database(connections[alias]))


@pytest.fixture
def _nobody_waits(settings: LazySettings) -> None:
    settings.TENANT_LOOKUP_SECONDS = 0


@pytest.fixture
def initech(_places_without_tables: None, _nobody_waits: None) -> Tenant:
    """A tenant of the test's own."""
    return create_tenant("initech")


@pytest.fixture
def half_made() -> Tenant:
    """What a `create_tenant` leaves that is killed while it makes the tables."""
    tenant = Tenant.objects.create(name="initech", state=Tenant.State.CREATING)
    Domain.objects.create(host="initech.localhost", tenant=tenant)
    create_database(connection_of("initech"))
    with connection_of("initech").cursor() as cursor:
        cursor.execute("CREATE TABLE left_over (id integer)")
    connection_of("initech").close()
    return tenant


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
    assert status_of("initech.localhost") == HTTPStatus.OK
    with tenant_context(services.get_tenant("initech")):
        assert not User.objects.exists()


@pytest.mark.usefixtures("_places_without_tables")
def test_a_tenant_may_have_hosts_of_its_own() -> None:
    output_of("create_tenant", "initech", "--host=Shop.Example.", "--host=bücher.example")

    assert hosts_of("initech") == {"shop.example", "xn--bcher-kva.example"}


def test_the_default_host_is_a_host_name() -> None:
    assert services.default_host("big_corp") == "big-corp.localhost"


def test_a_tenant_is_not_there_for_visitors_until_it_is_all_made(monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile: list[tuple[str, int]] = []

    def make(alias: str) -> None:
        meanwhile.append((Tenant.objects.get(name="initech").state, status_of("initech.localhost")))
        create_database(connections[alias])

    monkeypatch.setattr(services, "make_place", make)
    create_tenant("initech")

    assert meanwhile == [("creating", HTTPStatus.NOT_FOUND)]
    assert Tenant.objects.get(name="initech").is_active


@pytest.mark.parametrize("error", [CommandError("no such column"), OperationalError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_no_row_and_no_database(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    fail_half_way(monkeypatch, error)

    with pytest.raises(type(error)):
        create_tenant("initech")

    assert not is_anything_left_of("initech")


def test_a_failure_to_clean_up_tells_both_errors_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_half_way(monkeypatch, OperationalError("disk full"))
    monkeypatch.setattr(services, "drop_place", fail(OperationalError("server is gone")))

    with pytest.raises(CommandError, match=r"(?s)not created.*disk full.*server is gone.*delete_tenant initech"):
        call_command("create_tenant", "initech")

    assert status_of("initech.localhost") == HTTPStatus.NOT_FOUND


def test_a_command_says_why_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_half_way(monkeypatch, OperationalError("disk full"))

    with pytest.raises(CommandError, match="disk full"):
        call_command("create_tenant", "initech")
    with pytest.raises(CommandError, match="a tenant called 'acme' already"):
        call_command("create_tenant", "acme")


@pytest.mark.parametrize("hosts", [["acme.localhost"], ["new.example", "acme.localhost"], ["localhost"], ["no host"]])
def test_a_host_that_cannot_be_had_leaves_nothing(hosts: list[str]) -> None:
    with pytest.raises(TenantError, match=hosts[-1]):
        create_tenant("initech", *hosts)

    assert not is_anything_left_of("initech")
    assert not Domain.objects.filter(host="new.example").exists()


def test_a_database_that_is_there_already_is_neither_used_nor_removed() -> None:
    create_database(connection_of("initech"))

    place = f"{config.databases.TENANT_DATABASE_PREFIX}_initech"
    with pytest.raises(TenantError, match=f"There is .*{place}.* on the server already"):
        create_tenant("initech")

    assert database_exists(connection_of("initech"))
    assert not Tenant.objects.filter(name="initech").exists()


def test_a_database_that_is_there_already_is_adopted_and_stays_closed_until_it_is_migrated() -> None:
    create_database(connection_of("initech"))

    tenant = adopt_tenant("initech")

    assert (tenant.state, hosts_of("initech")) == (Tenant.State.SUSPENDED, {"initech.localhost"})
    assert database_exists(connection_of("initech"))


def test_what_is_not_there_is_not_adopted() -> None:
    with pytest.raises(TenantError, match="to be adopted"):
        adopt_tenant("initech")

    assert not Tenant.objects.filter(name="initech").exists()


def test_a_tenants_own_code_cannot_make_tenants(acme: CurrentTenant) -> None:
    with tenant_context(acme), pytest.raises(TenantSwitchError):
        create_tenant("initech")


def test_what_a_transaction_could_take_back_is_not_begun() -> None:
    with pytest.raises(RuntimeError, match="durable"), atomic_for(Tenant):
        create_tenant("initech")

    assert not is_anything_left_of("initech")


@pytest.mark.usefixtures("_places_without_tables")
def test_what_a_killed_command_left_half_made_is_made_again_from_the_start(half_made: Tenant) -> None:
    create_tenant("initech", "other.example")

    tenant = services.get_tenant("initech")
    assert tenant.is_active
    assert tenant.alias == half_made.alias
    assert hosts_of("initech") == {"other.example"}
    assert "left_over" not in connection_of("initech").introspection.table_names()


@pytest.mark.parametrize("command", ["rename_tenant initech hooli", "add_domain initech x.example"])
def test_nothing_else_is_done_with_what_is_half_made(half_made: Tenant, command: str) -> None:
    for words in (command, "suspend_tenant initech", "resume_tenant initech", "clone_tenant initech hooli"):
        with pytest.raises(CommandError, match=r"creating.*was killed.*create_tenant initech.*delete_tenant initech"):
            call_command(*words.split())

    assert status_of("initech.localhost") == HTTPStatus.NOT_FOUND


def test_commands_for_every_tenant_leave_out_what_is_half_made(half_made: Tenant) -> None:
    assert labels() == ["acme", "globex"]
    assert half_made.alias not in services.tenant_aliases()
    for options in ({"tenant": ["initech"]}, {"database": half_made.alias}):
        with pytest.raises(CommandError, match="state is creating"):
            TenantTargets().named(options)


def test_a_host_with_a_static_route_would_show_what_is_half_made(settings: LazySettings) -> None:
    settings.DYNAMIC_DB_ROUTES = {"old.example": "tenant_initech", "acme.example": "tenant_acme"}

    with pytest.raises(TenantError, match=r"DYNAMIC_DB_ROUTES.*old\.example"):
        create_tenant("initech")
    with pytest.raises(TenantError, match=r"DYNAMIC_DB_ROUTES.*acme\.example"):
        delete_tenant(services.get_tenant("acme"))
    assert services.get_tenant("acme").is_active


# Clone


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was copied; the copies are empty."""
    copied: list[tuple[str, str]] = []

    def copy(source_alias: str, target_alias: str) -> None:
        copied.append((source_alias, target_alias))
        create_database(connections[target_alias])

    monkeypatch.setattr(services, "copy_place", copy)
    return copied


def test_a_clone_has_the_rows_of_its_source_and_an_identity_of_its_own(copies: list[tuple[str, str]]) -> None:
    output = output_of("clone_tenant", "acme", "initech", "--host=initech.example")

    acme, initech = services.get_tenant("acme"), services.get_tenant("initech")
    assert "Cloned acme as initech (tenant_initech), at initech.example." in output
    assert copies == [("tenant_acme", "tenant_initech")]
    assert initech.is_active
    assert initech.id != acme.id
    assert hosts_of("acme") == {"acme.localhost"}


def test_a_clone_may_wait_for_somebody_to_open_it(copies: list[tuple[str, str]]) -> None:
    output = output_of("clone_tenant", "acme", "initech", "--suspended")

    assert "its site is closed" in output
    assert status_of("initech.localhost") == HTTPStatus.SERVICE_UNAVAILABLE


def test_a_closed_tenant_can_be_cloned(copies: list[tuple[str, str]]) -> None:
    suspend_tenant(services.get_tenant("acme"))

    assert clone_tenant(services.get_tenant("acme"), "initech").is_active
    assert not services.get_tenant("acme").is_active


def test_a_clone_has_the_uploads_of_the_original_until_it_is_deleted(
    copies: list[tuple[str, str]], acme: CurrentTenant, settings: LazySettings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT, settings.TENANT_LOOKUP_SECONDS = tmp_path, 0
    with tenant_context(acme):
        default_storage.save("logo.txt", ContentFile("A"))

    clone = clone_tenant(services.get_tenant("acme"), "initech")
    with tenant_context(clone), default_storage.open("logo.txt") as logo:
        assert logo.read() == b"A"

    delete_tenant(clone)
    assert [path.name for path in tmp_path.iterdir()] == [acme.id]


def test_a_clone_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "copy_place", half_way(OperationalError("disk full")))

    with pytest.raises(CommandError, match=r"not cloned.*disk full"):
        call_command("clone_tenant", "acme", "initech")

    assert not is_anything_left_of("initech")
    assert services.get_tenant("acme").is_active


def test_a_tenant_cannot_be_cloned_over_another() -> None:
    for source, target in (("acme", "globex"), ("acme", "acme"), ("acme", "Hooli"), ("nobody", "initech")):
        with pytest.raises(CommandError, match="not cloned"):
            call_command("clone_tenant", source, target)

    assert Tenant.objects.count() == 2


# Delete


def test_a_deleted_tenant_leaves_nothing(settings: LazySettings) -> None:
    settings.TENANT_LOOKUP_SECONDS = 0
    create_tenant("initech")
    assert status_of("initech.localhost") == HTTPStatus.OK

    assert "Deleted the tenant initech." in output_of("delete_tenant", "initech", "--no-input")

    assert not is_anything_left_of("initech")
    assert status_of("initech.localhost") == HTTPStatus.NOT_FOUND
    with pytest.raises(CommandError, match="No tenant is called 'initech'"):
        call_command("delete_tenant", "initech", "--no-input")


def test_nothing_is_removed_before_every_worker_knows_that_the_site_is_closed(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings, initech: Tenant
) -> None:
    settings.TENANT_LOOKUP_SECONDS = 7
    events: list[tuple[object, int, bool]] = []

    def note(what: object) -> None:
        events.append((what, status_of("initech.localhost"), database_exists(connection_of("initech"))))

    monkeypatch.setattr(services, "time", SimpleNamespace(sleep=note))
    delete_tenant(initech)

    assert events == [(7, HTTPStatus.NOT_FOUND, True)]


@pytest.mark.usefixtures("_nobody_waits")
def test_a_deletion_that_fails_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch, initech: Tenant) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(services, "drop_place", fail(OperationalError("server is gone")))
        with pytest.raises(CommandError, match=r"not deleted.*server is gone"):
            call_command("delete_tenant", "initech", "--no-input")

    assert status_of("initech.localhost") == HTTPStatus.NOT_FOUND
    with pytest.raises(CommandError, match=r"state is deleting.*delete_tenant initech"):
        call_command("create_tenant", "initech")
    output_of("delete_tenant", "initech", "--no-input")
    assert not is_anything_left_of("initech")


@pytest.mark.usefixtures("_nobody_waits")
def test_files_that_cannot_be_removed_are_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, initech: Tenant
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(services, "delete_files", fail(PermissionError("not yours: menus")))
        with pytest.raises(CommandError, match=r"The tenant was not deleted\. not yours: menus"):
            call_command("delete_tenant", "initech", interactive=False)

    assert services.get_tenant("initech").state == Tenant.State.DELETING


@pytest.mark.usefixtures("_nobody_waits")
def test_what_is_half_made_can_be_deleted(half_made: Tenant) -> None:
    output_of("delete_tenant", "initech", "--no-input")

    assert not is_anything_left_of("initech")


def test_two_who_delete_the_same_tenant(initech: Tenant) -> None:
    initech.delete()

    with pytest.raises(TenantError, match="'initech' has been deleted meanwhile"):
        delete_tenant(initech)


@pytest.mark.usefixtures("_nobody_waits")
@pytest.mark.parametrize(("answer", "is_deleted"), [("initech", True), ("acme", False), ("yes", False), ("", False)])
def test_to_delete_a_tenant_its_name_is_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, is_deleted: bool
) -> None:
    create_tenant("initech")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(builtins, "input", lambda prompt: answer)

    with nullcontext() if is_deleted else pytest.raises(CommandError, match="not deleted: that is not its name"):
        call_command("delete_tenant", "initech")

    assert is_anything_left_of("initech") is not is_deleted
    lost = capsys.readouterr().out
    assert re.search(rf"{config.databases.TENANT_DATABASE_PREFIX}_initech[^ ]*: \d+ tables, \d+ rows", lost)
    assert "initech.localhost" in lost


def test_nobody_is_asked_where_nobody_can_answer(initech: Tenant) -> None:
    with pytest.raises(CommandError, match="--no-input"):
        call_command("delete_tenant", "initech")

    assert services.get_tenant("initech").is_active


# Rename


def test_a_renamed_tenant_keeps_its_rows_and_gets_the_subdomain_of_its_name() -> None:
    with tenant_context(services.get_tenant("acme")):
        User.objects.create(username="ada")
    output_of("add_domain", "acme", "acme.example")

    assert "acme is called umbrella now (tenant_acme)" in output_of("rename_tenant", "acme", "umbrella")

    assert hosts_of("umbrella") == {"umbrella.localhost", "acme.example"}
    assert status_of("umbrella.localhost") == HTTPStatus.OK
    assert status_of("acme.localhost") == HTTPStatus.NOT_FOUND
    assert labels(tenant=["umbrella"]) == ["umbrella"]
    with tenant_context(services.get_tenant("umbrella")):
        assert User.objects.filter(username="ada").exists()


def test_a_tenant_that_has_not_the_host_of_its_name_keeps_its_hosts() -> None:
    Domain.objects.filter(host="acme.localhost").update(host="shop.example")

    output_of("rename_tenant", "acme", "umbrella")

    assert hosts_of("umbrella") == {"shop.example"}


@pytest.mark.parametrize("name", ["globex", "Acme", "public", 'a"b', "x" * (MAX_LENGTH + 1)])
def test_a_name_that_cannot_be_had_changes_nothing(name: str) -> None:
    with pytest.raises(CommandError, match="not renamed"):
        call_command("rename_tenant", "acme", name)

    assert hosts_of("acme") == {"acme.localhost"}


def test_a_host_that_another_tenant_has_keeps_a_tenant_from_being_renamed() -> None:
    output_of("add_domain", "globex", "umbrella.localhost")

    with pytest.raises(CommandError, match=r"umbrella\.localhost"):
        call_command("rename_tenant", "acme", "umbrella")

    assert hosts_of("acme") == {"acme.localhost"}
    assert hosts_of("globex") == {"globex.localhost", "umbrella.localhost"}


@pytest.mark.usefixtures("_places_without_tables", "_nobody_waits")
def test_the_name_of_a_renamed_tenant_is_free_but_its_alias_is_not() -> None:
    create_tenant("initech")
    output_of("rename_tenant", "initech", "hooli")

    assert "initech (tenant_initech_2), at initech.localhost" in output_of("create_tenant", "initech")

    output_of("delete_tenant", "initech", "--no-input")
    assert not database_exists(connection_of("initech_2"))
    assert database_exists(connection_of("initech"))


def test_a_key_is_as_short_as_a_name() -> None:
    name = "a" + "_b" * 9 + "c"
    Tenant.objects.create(name="renamed", key=name)

    assert len(name) == MAX_LENGTH
    assert services.key_for(name) == "a" + "_b" * 8 + "_2"


# Domains


def test_domains_come_and_go() -> None:
    assert "Shop.Localhost is now a host of acme." in output_of("add_domain", "acme", "Shop.Localhost")
    assert status_of("shop.localhost") == HTTPStatus.OK
    assert "was already a host of acme" in output_of("add_domain", "acme", "shop.localhost")

    assert "it has acme.localhost" in output_of("remove_domain", "SHOP.localhost.")
    assert status_of("shop.localhost") == HTTPStatus.NOT_FOUND
    with pytest.raises(CommandError, match=r"No tenant has the host 'shop\.localhost'"):
        call_command("remove_domain", "shop.localhost")


@pytest.mark.parametrize("host", ["globex.localhost", "localhost", "http://x", "www.localhost"])
def test_a_domain_that_cannot_be_had_is_not_added(host: str) -> None:
    with pytest.raises(CommandError, match=f"not added.*{host}"):
        call_command("add_domain", "acme", host)

    assert hosts_of("acme") == {"acme.localhost"}


def test_a_tenant_keeps_a_host() -> None:
    with pytest.raises(CommandError, match=r"only host of 'acme'.*add_domain acme.*suspend_tenant acme"):
        call_command("remove_domain", "acme.localhost")

    assert hosts_of("acme") == {"acme.localhost"}


# Suspend


def test_a_suspended_tenant_is_closed_until_it_is_resumed() -> None:
    assert "acme is suspended now." in output_of("suspend_tenant", "acme")
    assert status_of("acme.localhost") == HTTPStatus.SERVICE_UNAVAILABLE
    assert "acme was suspended already." in output_of("suspend_tenant", "acme")

    assert "acme is open now." in output_of("resume_tenant", "acme")
    assert status_of("acme.localhost") == HTTPStatus.OK
    assert "acme was open already." in output_of("resume_tenant", "acme")


# One at a time


@pytest.mark.parametrize(
    "act",
    [
        lambda acme: create_tenant("initech"),
        lambda acme: clone_tenant(acme, "initech"),
        lambda acme: delete_tenant(services.get_tenant("initech")),
        lambda acme: clone_tenant(services.get_tenant("initech"), "hooli"),
    ],
    ids=["create", "clone", "delete", "clone it"],
)
def test_two_commands_are_not_at_work_on_one_tenant(half_made: Tenant, act: Callable[[Tenant], object]) -> None:
    acme = services.get_tenant("acme")
    with held_elsewhere(half_made.alias), pytest.raises(TenantBusyError, match="tenant_initech"):
        act(acme)

    assert half_made.state == services.get_tenant("initech").state
    assert database_exists(connection_of("initech"))


# List


def test_tenants_are_listed_for_people_and_for_programs() -> None:
    suspend_tenant(services.get_tenant("globex"))

    assert "acme" in output_of("list_tenants")
    assert "globex.localhost  suspended" in output_of("list_tenants")
    rows = json.loads(output_of("list_tenants", "--json"))
    assert [(row["name"], row["alias"], row["hosts"], row["state"]) for row in rows] == [
        ("acme", "tenant_acme", ["acme.localhost"], "active"),
        ("globex", "tenant_globex", ["globex.localhost"], "suspended"),
    ]


def test_a_tenant_that_lacks_migrations_is_listed_as_such() -> None:
    Tenant.objects.filter(name="acme").update(migrations="catalogue.0001_initial")
    Tenant.objects.create(name="made", state=Tenant.State.CREATING)

    assert "acme.localhost  behind the code" in output_of("list_tenants")
    assert [row["is_behind"] for row in json.loads(output_of("list_tenants", "--json"))] == [True, False, False]


def test_it_is_known_what_a_new_tenant_was_migrated_to() -> None:
    create_tenant("initech")

    assert services.get_tenant("initech").migrations == to_text(applied_on(connection_of("initech")))
    assert "behind" not in output_of("list_tenants")


def test_an_empty_list_says_how_to_make_a_tenant() -> None:
    Tenant.objects.all().delete()

    assert "create_tenant" in output_of("list_tenants")
    assert json.loads(output_of("list_tenants", "--json")) == []


def test_many_tenants_are_not_all_named_in_an_error() -> None:
    Tenant.objects.bulk_create(Tenant(name=f"t{number}", key=f"t{number}") for number in range(30))

    with pytest.raises(TenantError, match="list_tenants") as refused:
        services.get_tenant("nobody")

    assert "t1" not in str(refused.value)


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
    initech = Tenant.objects.create(name="initech", state=Tenant.State.ACTIVE, migrations=records_of_new())
    Domain.objects.create(host="initech.localhost", tenant=initech)

    with pytest.raises((OperationalError, ProgrammingError)):  # no database, or none of its tables
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
