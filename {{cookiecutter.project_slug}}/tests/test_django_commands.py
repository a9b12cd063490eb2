"""Django's own commands act where the routers have what they are about; Django's mean ``default``."""

import getpass
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.management.commands import clearsessions
from django.contrib.sessions.models import Session
from django.core import serializers
from django.core.cache import caches
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.management import CommandError, call_command, get_commands
from django.core.management.commands import sqlmigrate
from django.db import OperationalError, ProgrammingError, connections, router
from django.db.models import Model
from django.utils import timezone
from typed import typed

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.aliases import migratable_aliases, usable_aliases
from dbrouting.commands import RoutedCommand
from dbrouting.fixtures import ExactEncoder
from dbrouting.management.commands.shell import Prompt
from dbrouting.overrides import in_database
from dbrouting.targets import get_targets
from orders.factories import OrderFactory, OrderLineFactory
from orders.models import Order

pytestmark = pytest.mark.django_db

NEW_USER = ("--noinput", "--username=eve", "--email=eve@example.com")


def home_of(model: type[Model]) -> str:
    return router.db_for_write(model)


def strangers_to(model: type[Model]) -> list[str]:
    """The databases that have no table of ``model``."""
    return [alias for alias in usable_aliases() if not router.allow_migrate_model(alias, model)]


@pytest.fixture
def shop() -> None:
    """Rows of every app, in every database of this site."""
    user = UserFactory.create(username="ada", date_joined=datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC))
    group = Group.objects.create(name="staff")
    group.permissions.set(Permission.objects.all()[:2])
    user.groups.add(group)
    tea = ProductFactory.create(slug="sencha", name="煎茶")
    OrderLineFactory.create(order=OrderFactory.create(customer=user), product=tea)


@pytest.mark.parametrize(
    "name",
    [
        *("changepassword", "clearsessions", "createcachetable", "createsuperuser", "dbshell", "dumpdata", "flush"),
        *("inspectdb", "loaddata", "remove_stale_contenttypes", "shell", "showmigrations", "sqlmigrate", "testserver"),
    ],
)
def test_the_routed_command_is_the_one_that_is_found(name: str) -> None:
    assert get_commands()[name] == "dbrouting"


def test_a_superuser_is_made_where_users_are() -> None:
    done = typed("createsuperuser", *NEW_USER)

    assert User.objects.using(home_of(User)).get(username="eve").is_superuser
    assert f"Database {home_of(User)} (" in done.err


def test_the_password_that_is_changed_is_that_of_who_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    UserFactory.create(username="ada")
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "correct horse")
    typed("changepassword", "ada")

    assert User.objects.get(username="ada").check_password("correct horse")


@pytest.mark.parametrize("command", [("createsuperuser", *NEW_USER), ("dumpdata", "accounts"), ("clearsessions",)])
def test_a_database_without_what_it_is_about_is_refused(command: tuple[str, ...]) -> None:
    for alias in strangers_to(User):
        with pytest.raises(CommandError, match=rf"{alias}.*Run it on: .*{home_of(User)}"):
            typed(*command, f"--database={alias}")


@pytest.mark.parametrize("name", ["createsuperuser", "dumpdata", "flush", "dbshell", "inspectdb", "shell"])
def test_an_unknown_database_is_named_beside_those_that_there_are(name: str) -> None:
    with pytest.raises(
        CommandError, match=f"No database is called 'nowhere'. DATABASES lists: .*{usable_aliases()[0]}"
    ):
        typed(name, "--database=nowhere")


def test_a_database_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connections[home_of(Session)], "ensure_connection", refuse)
    with pytest.raises(CommandError, match=f"'{home_of(Session)}' can't be reached: connection refused"):
        typed("clearsessions", f"--database={home_of(Session)}")


def test_no_check_asks_the_databases_that_a_command_is_not_about(monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in usable_aliases():
        monkeypatch.setattr(connections[alias].validation, "check_field", Mock(side_effect=OperationalError("down")))
    call_command("clearsessions", skip_checks=False)


def test_who_has_no_tables_yet_is_told_to_migrate(monkeypatch: pytest.MonkeyPatch) -> None:
    def query(self: Any, **options: Any) -> None:
        raise ProgrammingError("no such table: not_there_yet")

    monkeypatch.setattr(clearsessions.Command, "handle", query)
    command = f"migrate --database={home_of(Session)}"
    with pytest.raises(CommandError, match=f"not_there_yet.*\n.*{command}"):
        typed("clearsessions", f"--database={home_of(Session)}")


def test_one_database_that_fails_does_not_keep_the_others_from_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: list[str] = []

    def act_on(self: RoutedCommand, alias: str, *args: Any, **options: Any) -> None:
        visited.append(alias)
        raise CommandError("out of paper")

    monkeypatch.setattr(RoutedCommand, "act_on", act_on)
    with pytest.raises(CommandError, match="out of paper"):
        typed("flush", "--no-input")

    assert set(visited) == {alias for alias in get_targets().databases({}) if not get_targets().must_keep(alias)}


def test_only_sessions_that_have_expired_are_cleared() -> None:
    live, expired = SessionStore(), SessionStore()
    for session in (live, expired):
        session.create()
    Session.objects.filter(pk=expired.session_key).update(expire_date=timezone.now() - timedelta(days=1))
    typed("clearsessions")

    assert [session.pk for session in Session.objects.all()] == [live.session_key]


def test_sessions_outside_of_databases_are_cleared_once(settings: Any, tmp_path: Path) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.file"
    settings.SESSION_FILE_PATH = str(tmp_path)
    assert "Database" not in typed("clearsessions").err


def test_stale_content_types_are_removed_where_they_are() -> None:
    ContentType.objects.create(app_label="orders", model="invoice")
    typed("remove_stale_contenttypes", "--no-input")

    assert not ContentType.objects.filter(app_label="orders", model="invoice").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("every_database")
def test_the_cache_table_is_where_the_cache_looks_for_it(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "pages"}}
    typed("createcachetable")
    try:
        caches["default"].set("answer", 42)
        assert caches["default"].get("answer") == 42
    finally:
        model = BaseDatabaseCache("pages", {}).cache_model_class
        for alias in usable_aliases():
            if router.allow_migrate_model(alias, model):
                with connections[alias].cursor() as cursor:
                    cursor.execute("DROP TABLE IF EXISTS pages")


def test_without_a_cache_in_a_database_it_says_so() -> None:
    assert "No cache of settings.CACHES is in a database" in typed("createcachetable").err


def test_a_table_is_inspected_where_it_is() -> None:
    assert "class OrdersOrder(" in typed("inspectdb", "orders_order").out


def test_a_table_that_is_nowhere_is_named() -> None:
    with pytest.raises(CommandError, match="No database has the table orders_invoice"):
        typed("inspectdb", "orders_order", "orders_invoice")


def test_the_migrations_that_are_shown_are_those_of_the_apps_home() -> None:
    shown = typed("showmigrations", "orders")

    assert "[X] 0001_initial" in shown.out
    assert f"Database {home_of(Order)} (" in shown.err


def test_the_sql_of_a_migration_is_that_of_the_apps_home(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Mock(return_value="")
    monkeypatch.setattr(sqlmigrate.Command, "handle", handle)
    typed("sqlmigrate", "orders", "0001")

    assert handle.call_args.kwargs["database"] == home_of(Order)
    for alias in strangers_to(Order):
        with pytest.raises(CommandError, match=f"Run it on: .*{home_of(Order)}"):
            typed("sqlmigrate", "orders", "0001", f"--database={alias}")


def test_the_client_of_the_database_is_given_the_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    for alias in usable_aliases():
        monkeypatch.setattr(connections[alias].client, "runshell", lambda parameters, alias=alias: opened.append(alias))
    typed("dbshell", f"--database={home_of(Order)}")

    assert opened == [home_of(Order)]


def test_a_shell_works_on_the_database_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code = "from django.db import router; print('at', router.db_for_read(Product), router.db_for_write(Product))"
    home = home_of(Product)
    typed("shell", "-v0", f"--database={home}", "-c", code)

    assert f"at {home} {home}" in capsys.readouterr().out


def test_the_prompt_of_a_shell_follows_the_blocks_in_it() -> None:
    home = home_of(Product)
    prompt = Prompt()
    with in_database(home, write=True):
        assert str(prompt) == f"[{home}] >>> "


def test_a_shell_says_what_each_database_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.core.management.commands.shell.Command.python", lambda self, options: None)
    monkeypatch.setattr(sys, "ps1", "", raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal())
    said = typed("shell", "--interface=python").out

    assert all(f"{alias}: " in said for alias in usable_aliases())


@pytest.mark.parametrize("interface", ["IPython", "bpython"])
def test_a_shell_with_a_prompt_of_its_own_says_it_at_the_start(interface: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, interface, Mock())
    monkeypatch.setattr(sys, "stdin", Terminal())
    said = typed("shell", f"--interface={interface.lower()}", f"--database={home_of(Product)}").out

    assert all(f"{alias}: " in said for alias in usable_aliases())
    assert f"Here: {home_of(Product)}" in said


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("shop")
def test_a_dump_has_the_rows_of_every_database() -> None:
    models = {row["model"] for row in json.loads(typed("dumpdata").out)}

    assert {"accounts.user", "catalogue.product", "orders.order", "contenttypes.contenttype"} <= models


@pytest.mark.usefixtures("shop")
def test_a_dump_of_one_app_asks_only_the_databases_where_it_is() -> None:
    rows = json.loads(typed("dumpdata", "orders").out)

    assert {row["model"] for row in rows} == {"orders.order", "orders.orderline"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("natural", [(), ("--natural-foreign",)])
def test_everything_that_was_dumped_can_be_loaded_again(
    form: str, natural: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    renumber(ContentType.objects.get(app_label="orders", model="order"))
    dump = typed("dumpdata", f"--format={form}", *natural).out
    typed("flush", "--no-input", "--bare")
    assert not Order.objects.exists()
    assert not ContentType.objects.exists()

    monkeypatch.setattr(sys, "stdin", StringIO(dump))
    typed("loaddata", f"--format={form}", "-")

    assert typed("dumpdata", f"--format={form}", *natural).out == dump
    assert User.objects.get(username="ada").date_joined.microsecond == 1
    OrderFactory.create()  # the sequences know of the rows


def test_no_clock_loses_its_microseconds() -> None:
    assert json.dumps([time(1, 2, 3, 4), datetime(2026, 3, 1, 1, 2, 3, 4)], cls=ExactEncoder) == (
        '["01:02:03.000004", "2026-03-01T01:02:03.000004"]'
    )


def renumber(content_type: ContentType) -> None:
    """As in a database whose apps were added one by one: `migrate` would number them otherwise today."""
    old = content_type.pk
    ContentType.objects.filter(pk=old).update(model="renamed")
    content_type.pk = ContentType.objects.order_by("-pk")[0].pk + 1
    content_type.save(force_insert=True)
    Permission.objects.filter(content_type=old).update(content_type=content_type)
    ContentType.objects.filter(pk=old).delete()


@pytest.mark.usefixtures("shop")
def test_a_dump_that_fails_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.json"
    path.write_text("the last good one")
    monkeypatch.setattr(Order._default_manager, "using", Mock(side_effect=OperationalError("no more paper")))
    with pytest.raises(CommandError, match="no more paper"):
        typed("dumpdata", f"--output={path}")

    assert [item.name for item in tmp_path.iterdir()] == ["all.json"]
    assert path.read_text() == "the last good one"


@pytest.mark.usefixtures("shop")
def test_a_dump_is_written_where_a_link_leads(tmp_path: Path) -> None:
    link = tmp_path / "latest.json"
    link.symlink_to(tmp_path / "today.json")
    typed("dumpdata", "catalogue", f"--output={link}")

    assert link.is_symlink()
    assert "sencha" in (tmp_path / "today.json").read_text()


@pytest.mark.usefixtures("shop")
def test_a_dump_may_be_compressed(tmp_path: Path) -> None:
    typed("dumpdata", "catalogue", f"--output={tmp_path}/shop.json.gz")

    assert (tmp_path / "shop.json.gz").read_bytes().startswith(b"\x1f\x8b")


def test_a_dump_into_a_folder_that_is_not_there_is_told_without_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"No such file or directory: .*missing"):
        typed("dumpdata", "catalogue", f"--output={tmp_path}/missing/shop.json")


def test_a_dump_that_fails_names_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    query = Mock(side_effect=ProgrammingError("no such table: not_there_yet"))
    monkeypatch.setattr("django.db.models.query.QuerySet.iterator", query)
    with pytest.raises(CommandError, match=f"not_there_yet\n.*migrate --database={home_of(Order)}"):
        typed("dumpdata", "orders")


def test_a_row_that_no_database_takes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "stray.json"
    row = {"model": "auth.group", "pk": 1, "fields": {"name": "staff"}, "database": "gone"}
    path.write_text(json.dumps([row]))
    with pytest.raises(CommandError, match=r"1 of auth\.Group from 'gone'"):
        typed("loaddata", str(path))

    assert not Group.objects.exists()


def test_a_part_of_a_fixture_is_loaded_on_request_and_the_rest_is_told(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    group = {"model": "auth.group", "pk": 1, "fields": {"name": "staff"}}
    path.write_text(json.dumps([group, {**group, "database": "gone"}]))
    done = typed("loaddata", str(path), f"--database={home_of(Group)}")

    assert Group.objects.get().name == "staff"
    assert "1 of auth.Group from 'gone'" in done.err


def test_rows_that_a_database_refuses_are_told_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "twins.json"
    path.write_text(json.dumps([{"model": "auth.group", "pk": pk, "fields": {"name": "staff"}} for pk in (1, 2)]))
    with pytest.raises(CommandError, match=r"auth\.Group\(pk=2\).* Nothing was loaded into"):
        typed("loaddata", str(path))

    assert not Group.objects.exists()


def test_a_test_case_may_load_its_fixture_into_a_database_that_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "empty.json"
    path.write_text("[]")
    monkeypatch.setattr("dbrouting.commands.apps_on", lambda alias: [])
    with pytest.warns(RuntimeWarning, match="No fixture data"):
        call_command("loaddata", str(path), database=home_of(Group), verbosity=0)


def test_a_broken_fixture_is_told_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("[{]")
    with pytest.raises(CommandError, match=r"broken\.json"):
        typed("loaddata", str(path))


def test_standard_input_does_not_say_its_format() -> None:
    with pytest.raises(CommandError, match="--format must be specified"):
        typed("loaddata", "-")


def test_a_fixture_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(CommandError, match="No fixture named 'nowhere' found"):
        typed("loaddata", "nowhere")


def test_outside_of_the_commands_the_formats_are_as_ever() -> None:
    """Elsewhere a row of another database is deserialized, and saved by the routers."""
    product = ProductFactory.create(slug="sencha")
    text = serializers.serialize("json", [product])
    assert "database" not in json.loads(text)[0]
    product.delete()

    for row in serializers.deserialize("json", text, using=usable_aliases()[-1]):
        row.object.save()

    assert Product.objects.get().slug == "sencha"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is typed at the prompts; all of it must have been asked for."""
    lines: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt: lines.pop(0))
    yield lines
    assert lines == []


@pytest.mark.usefixtures("shop")
def test_a_flush_asks_once_and_names_what_it_would_empty(
    answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers.append("no")
    assert "Flush cancelled" in typed("flush").out

    asked = capsys.readouterr().out
    assert all(f"{alias} (" in asked for alias in {home_of(User), home_of(Product), home_of(Order)})
    assert Order.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("shop")
def test_a_flush_empties_every_database(answers: list[str]) -> None:
    answers.append("yes")
    typed("flush")

    assert not any(model._default_manager.exists() for model in (User, Product, Order))
    assert ContentType.objects.exists()


def test_code_that_works_on_one_database_runs_commands_there() -> None:
    """A shell that was opened for one, for instance."""
    alias = home_of(Order)
    with in_database(alias, write=True):
        assert list(get_targets().databases({})) == [alias]
        assert get_targets().one({}) == alias


def test_databases_are_visited_in_the_order_in_which_they_are_migrated() -> None:
    assert list(get_targets().databases({})) in ([*migratable_aliases()], [home_of(User)])
