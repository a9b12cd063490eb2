"""What ``check_databases`` proposes is what mends: the commands are run, one after the other, on a real database."""

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connections, router
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from other_settings import dropped_afterwards, fresh_url

from accounts.models import User
from dbrouting.inspection.findings import Finding
from dbrouting.inspection.inspector import Inspector
from dbrouting.mending import create_tables
from dbrouting.provisioning import create_database
from orders.models import Order, OrderLine

HOUSEHOLD = {"accounts", "admin", "auth", "contenttypes", "orders", "sessions"}


@pytest.fixture(scope="module")
def alias(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """A database of its own, migrated, where orders live with the users. Each test leaves it well."""
    url = fresh_url("orders_db", "mending", tmp_path_factory.mktemp("mending"))
    allow = router.allow_migrate
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), dropped_afterwards(url) as connection:
        fresh = connection.alias
        patch.setattr(
            router,
            "allow_migrate",
            lambda db, label, **hints: label in HOUSEHOLD if db == fresh else allow(db, label, **hints),
        )
        create_database(connection)
        call_command("migrate", database=fresh, verbosity=0)
        yield fresh


def drop(*models: type[Model]) -> Callable[[str], None]:
    def from_database(alias: str) -> None:
        with connections[alias].constraint_checks_disabled(), connections[alias].schema_editor() as editor:
            for model in models:
                model._meta.local_many_to_many, kept = [], model._meta.local_many_to_many
                editor.delete_model(model)
                model._meta.local_many_to_many = kept

    return from_database


def drop_content_types(alias: str) -> None:
    """All that their app has; tables of other apps, which it would take along, refer to them."""
    Permission.objects.using(alias).all().delete()
    drop(ContentType)(alias)


def drop_names(alias: str) -> None:
    for field in User._meta.local_fields:
        if field.name in ("first_name", "last_name"):
            with connections[alias].schema_editor() as editor:
                editor.remove_field(User, field)


def drop_everything(alias: str) -> None:
    tables = Inspector().histories.of(connections[alias]).tables(connections[alias])
    drop(*tables.values())(alias)


def lose_records(alias: str) -> None:
    MigrationRecorder(connections[alias]).migration_qs.filter(app="orders").delete()


def lose_one_record(alias: str) -> None:
    MigrationRecorder(connections[alias]).record_unapplied("auth", "0003_alter_user_email_max_length")


def errors_on(alias: str) -> list[Finding]:
    return [finding for finding in Inspector().inspect(alias).findings if finding.severity == "error"]


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(drop(OrderLine, Order), id="an app without its tables"),
        pytest.param(drop(OrderLine), id="one table of several"),
        pytest.param(drop(User.groups.through), id="a table behind a many-to-many field"),
        drop_content_types,
        drop_everything,
        drop_names,
        lose_records,
        lose_one_record,
    ],
)
def test_the_commands_mend_what_was_found(alias: str, harm: Callable[[str], None]) -> None:
    assert errors_on(alias) == []
    harm(alias)

    found = errors_on(alias)
    for command in dict.fromkeys(command for finding in found for command in finding.commands):
        call_command(*shlex.split(command)[2:], verbosity=0)

    assert found
    assert errors_on(alias) == []
    assert Order.objects.using(alias).count() == User.objects.using(alias).count() == 0


def test_an_app_that_moved_away_is_copied_before_its_old_tables_are_dropped(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow = router.allow_migrate
    Order.objects.using(alias).create(customer_id=1)
    with monkeypatch.context() as patch:
        patch.setattr(
            router,
            "allow_migrate",
            lambda db, label, **hints: (db, label) != (alias, "orders") and allow(db, label, **hints),
        )
        [stray] = (found for found in Inspector().inspect(alias).findings if "orders_order" in found.what)
    drop = stray.what.partition("only then: python manage.py ")[2]

    call_command(*shlex.split(drop), verbosity=0)

    assert stray.commands == (f"python manage.py move_app orders --from={alias} --to=orders_db",)
    assert not {"orders_order", "orders_orderline"} & set(connections[alias].introspection.table_names())
    create_tables(alias, "orders_order", "orders_orderline")


def test_what_is_not_described_is_not_made(alias: str) -> None:
    with pytest.raises(CommandError, match="describes a table 'shelf'"):
        create_tables(alias, "shelf")
