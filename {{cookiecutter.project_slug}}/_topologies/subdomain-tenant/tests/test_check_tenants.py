"""Whatever a tenant lacks, or has too much of, is found, with the command that mends it."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from dbrouting.provisioning import drop_database
from orders.models import OrderLine
from tenants.models import Domain, Tenant
from tenants.services import create_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

ALIAS = "tenant_initech"


@pytest.fixture(autouse=True)
def _initech(room_for_tenants: None) -> Iterator[None]:
    """A tenant as it should be, beside the project's own."""
    create_tenant("initech")
    yield
    drop_database(connections[ALIAS])


def execute(statement: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement)


def check(*arguments: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    out = StringIO()
    try:
        call_command("check_tenants", "--tenant=initech", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_a_tenant_as_it_should_be_is_well() -> None:
    assert check() == (0, "1 tenant, 1 well.\n")


def test_one_that_is_behind_the_code_is_told_to_be_migrated() -> None:
    execute("DELETE FROM django_migrations WHERE app = 'orders'")

    code, output = check()

    assert code == 1
    assert "error: It is behind the code, without orders.0001_initial" in output
    assert "$ python manage.py migrate_tenants --tenant initech\n" in output


def test_one_that_is_ahead_of_the_code_may_be_so() -> None:
    execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '0009_next_release', '2030-01-01 00:00')"
    )
    Tenant.objects.filter(name="initech").update(migrations=remembered("orders.0009_next_release"))

    code, output = check()

    assert code == 0
    assert "info: It is ahead of the code, with orders.0009_next_release." in output


def remembered(*more: str) -> str:
    return "\n".join(sorted([*Tenant.objects.get(name="initech").migrations.splitlines(), *more]))


def test_one_whose_migrations_are_not_written_down_is_told_to_be_migrated() -> None:
    Tenant.objects.filter(name="initech").update(migrations="")

    code, output = check()

    assert code == 1
    assert "error: It lacks no migration, but what it has isn't written down" in output
    assert "$ python manage.py migrate_tenants --tenant initech\n" in output


def test_what_is_remembered_must_be_what_is_applied() -> None:
    Tenant.objects.filter(name="initech").update(migrations=remembered("orders.0009_next_release"))

    code, output = check()

    assert code == 1
    assert "warning: What is applied there isn't what is remembered" in output
    assert "$ python manage.py migrate_tenants --tenant initech\n" in output


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        (Tenant.State.CREATING, ["create_tenant initech", "delete_tenant initech"]),
        (Tenant.State.DELETING, ["delete_tenant initech"]),
    ],
)
def test_one_that_was_left_unfinished_is_to_be_finished_or_removed(state: Tenant.State, commands: list[str]) -> None:
    Tenant.objects.filter(name="initech").update(state=state)

    code, output = check()

    assert code == 1
    assert f"error: Its state is {state}." in output
    assert [line.split("manage.py ")[1] for line in output.splitlines() if "$" in line] == commands


def test_a_missing_table_and_a_missing_column_are_found() -> None:
    execute(f"DROP TABLE {OrderLine._meta.db_table}")
    execute("ALTER TABLE orders_order DROP COLUMN created_at")

    code, output = check()

    assert code == 1
    assert f"recorded as applied: {OrderLine._meta.db_table}" in output
    assert "The table orders_order lacks columns, though their migrations are recorded as applied: created_at" in output
    assert f"add_columns('{ALIAS}', 'orders_order', 'created_at')" in output


def test_a_table_that_nobody_knows_is_mentioned() -> None:
    execute("CREATE TABLE stray (id integer)")

    code, output = check()

    assert code == 0
    assert "info: Tables that no installed app knows: stray." in output


def test_without_a_host_nobody_can_visit_it() -> None:
    Domain.objects.filter(tenant__name="initech").delete()

    code, output = check()

    assert code == 1
    assert "warning: It has no host name: nobody can visit it." in output
    assert "$ python manage.py add_domain initech HOST\n" in output


def test_a_tenant_without_its_place_is_found_and_nothing_is_made() -> None:
    drop_database(connections[ALIAS])

    code, output = check()

    assert code == 1
    assert "isn't there. Restore it from a backup" in output
    assert "$ python manage.py delete_tenant initech\n" in output


def test_a_place_without_a_tenant_is_found() -> None:
    Tenant.objects.all().delete()
    out = StringIO()

    with pytest.raises(SystemExit):
        call_command("check_tenants", stdout=out, no_color=True)

    assert "initech" in out.getvalue()
    assert "is no tenant's. Keep what you need of it" in out.getvalue()
    assert f"drop_place('{ALIAS}')" in out.getvalue()


def test_programs_get_json() -> None:
    execute("CREATE TABLE stray (id integer)")

    report: list[dict[str, Any]] = json.loads(check("--json")[1])

    assert [(entry["name"], entry["alias"]) for entry in report] == [("initech", ALIAS)]
    assert [finding["severity"] for finding in report[0]["findings"]] == ["info"]
