"""``migrate`` does every database, says what it does, and refuses what would leave a database half made."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from catalogue.models import Product
from dbrouting.aliases import apps_on, migratable_aliases, usable_aliases
from dbrouting.provisioning import migration_lock
from dbrouting.targets import DatabaseTargets, get_targets
from orders.models import Order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_database")]


@pytest.fixture
def migrated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases that Django's own command was asked to migrate."""
    aliases: list[str] = []

    def handle(self: DjangoMigrate, *args: Any, **options: Any) -> None:
        aliases.append(options["database"])

    monkeypatch.setattr(DjangoMigrate, "handle", handle)
    return aliases


def test_without_a_database_it_migrates_every_one_that_holds_tables(
    migrated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("migrate")

    assert migrated == list(migratable_aliases())
    assert set(migrated) == {alias for alias in usable_aliases() if apps_on(alias)}
    output = capsys.readouterr().out
    assert all(f"Database {alias} (" in output for alias in migrated)


def test_content_types_are_migrated_before_the_databases_without_them(migrated: list[str]) -> None:
    call_command("migrate", verbosity=0)

    holds_content_types = [router.allow_migrate_model(alias, ContentType) for alias in migrated]
    assert holds_content_types == sorted(holds_content_types, reverse=True)


def test_a_named_database_is_migrated_alone(migrated: list[str]) -> None:
    home = router.db_for_write(Order)
    call_command("migrate", database=home)

    assert migrated == [home]


def test_an_app_is_migrated_only_where_it_lives(migrated: list[str]) -> None:
    call_command("migrate", "orders", "zero")

    assert set(migrated) == {alias for alias in migratable_aliases() if "orders" in apps_on(alias)}
    assert router.db_for_write(Order) in migrated


def test_an_unknown_database_is_refused_with_the_known_ones(migrated: list[str]) -> None:
    with pytest.raises(CommandError, match=f"'nowhere'.*{usable_aliases()[0]}"):
        call_command("migrate", "--database=nowhere")
    assert migrated == []


def test_a_database_where_no_table_is_allowed_is_refused(migrated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    home = router.db_for_write(Order)
    monkeypatch.setattr(router, "allow_migrate", lambda db, app_label, **hints: False)

    with pytest.raises(CommandError, match=f"don't allow any table on '{home}'"):
        call_command("migrate", database=home)
    assert migrated == []


def test_test_runners_may_prepare_any_database(migrated: list[str]) -> None:
    for alias in usable_aliases():
        call_command("migrate", verbosity=0, interactive=False, database=alias, run_syncdb=True)

    assert migrated == usable_aliases()


def test_djangos_own_options_work(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("migrate", "--plan")
    assert "No planned migration operations." in capsys.readouterr().out
    call_command("migrate", "--check")


def test_check_fails_if_any_database_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    behind, *others = migratable_aliases()
    up_to_date: list[str] = []

    def handle(self: DjangoMigrate, *args: Any, **options: Any) -> None:
        if options["database"] == behind:
            raise SystemExit(1)
        up_to_date.append(options["database"])

    monkeypatch.setattr(DjangoMigrate, "handle", handle)
    with pytest.raises(SystemExit) as stop:
        call_command("migrate", "--check", verbosity=0)
    assert stop.value.code == 1
    assert up_to_date == others


def test_a_database_that_is_down_is_named_and_the_others_are_migrated(
    migrated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *others, down = migratable_aliases()

    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connections[down], "ensure_connection", refuse)

    with pytest.raises(CommandError, match=f"'{down}' can't be reached: connection refused"):
        call_command("migrate", verbosity=0)
    assert migrated == others


def test_the_checks_of_each_database_are_run_unless_skipped(
    migrated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Any] = []
    monkeypatch.setattr(DjangoMigrate, "check", lambda self, **options: checked.append(options.get("databases")))

    call_command("migrate", verbosity=0, skip_checks=False)
    assert [aliases for aliases in checked if aliases] == [[alias] for alias in migratable_aliases()]

    checked.clear()
    call_command("migrate", verbosity=0, skip_checks=True)
    assert checked == []


def test_migrating_takes_the_lock_and_looking_does_not(migrated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def locked(targets: DatabaseTargets, alias: str) -> Iterator[None]:
        raise CommandError(f"{alias} is locked")
        yield

    monkeypatch.setattr(type(get_targets()), "lock", locked)

    call_command("migrate", "--plan", verbosity=0)
    call_command("migrate", "--check", verbosity=0)
    assert len(migrated) == 2 * len(list(migratable_aliases()))
    with pytest.raises(CommandError, match="is locked"):
        call_command("migrate", verbosity=0)


def test_an_empty_database_is_not_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings, "empty", {"ENGINE": "django.db.backends.dummy"})

    with pytest.raises(CommandError, match=r"'empty'\] is empty"):
        call_command("migrate", database="empty")


def test_one_failure_does_not_keep_the_others_and_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = migratable_aliases()
    done: list[str] = []

    def handle(self: DjangoMigrate, *args: Any, **options: Any) -> None:
        if options["database"] == first:
            raise ValueError("no such column")
        done.append(options["database"])

    monkeypatch.setattr(DjangoMigrate, "handle", handle)
    with pytest.raises(CommandError, match=rf"1 of {1 + len(others)} databases.*\n  {first}: no such column"):
        call_command("migrate", verbosity=0)
    assert done == others


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    home = connections[router.db_for_write(Product)]
    if home.vendor == "sqlite":  # the test database is in memory, where nobody else could come in
        home = _file_database(tmp_path)
    with (
        migration_lock(home),
        pytest.raises(CommandError, match=f"Another `migrate` is at work.*'{home.alias}'"),
        migration_lock(home),
    ):
        pass
    with migration_lock(home):
        pass


def _file_database(folder: Path) -> BaseDatabaseWrapper:
    connection = connections[router.db_for_write(Product)].copy(alias="file")
    connection.settings_dict["NAME"] = str(folder / "shop.sqlite3")
    return connection
