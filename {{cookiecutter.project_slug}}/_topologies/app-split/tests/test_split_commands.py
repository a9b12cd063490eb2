"""Django's commands where each app has a database of its own."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from typed import typed

from accounts.models import User
from catalogue.factories import ProductFactory
from dbrouting.aliases import migratable_aliases, usable_aliases
from dbrouting.mapping import complete
from dbrouting.targets import get_targets
from orders.factories import OrderFactory, OrderLineFactory

pytestmark = pytest.mark.django_db


def test_users_are_made_in_no_other_database() -> None:
    typed("createsuperuser", "--noinput", "--username=eve", "--email=eve@example.com")

    assert User.objects.using("auth_db").filter(username="eve").exists()
    with pytest.raises(CommandError, match=r"'default' doesn't hold accounts\.User. Run it on: auth_db"):
        typed("createsuperuser", "--noinput", "--username=mallory", "--email=m@example.com", "--database=default")


def test_users_are_made_while_another_database_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's command looks at the migrations of "default"."""
    monkeypatch.setattr(connections["default"], "cursor", Mock(side_effect=OperationalError("refused")))
    typed("createsuperuser", "--noinput", "--username=eve", "--email=eve@example.com")

    assert User.objects.filter(username="eve").exists()


def test_a_dump_needs_no_marks_where_each_table_is_in_one_database() -> None:
    """So Django's own loaddata understands it too."""
    OrderLineFactory.create(order=OrderFactory.create(), product=ProductFactory.create())
    rows = json.loads(typed("dumpdata").out)

    assert {"accounts.user", "catalogue.product", "orders.orderline"} <= {row["model"] for row in rows}
    assert not any("database" in row for row in rows)


def test_a_dump_without_primary_keys_warns_of_what_refers_to_them() -> None:
    """An order knows its customer by id, and no database would notice that the id is another's."""
    assert "--natural-primary leaves out primary keys" in typed("dumpdata", "--natural-primary").err


def test_a_format_that_holds_one_database_is_refused_for_several() -> None:
    with pytest.raises(CommandError, match=r"xml holds one database: add --database, or .* --format json"):
        typed("dumpdata", "--format=xml")

    assert typed("dumpdata", "orders", "--format=xml").out.startswith("<?xml")


def test_an_app_that_is_elsewhere_is_not_left_out_silently() -> None:
    with pytest.raises(CommandError, match="orders isn't on auth_db: its rows would be left out"):
        typed("dumpdata", "accounts", "orders", "--database=auth_db")


def test_a_fixture_is_spread_over_the_databases(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    rows = [
        {"model": "auth.permission", "pk": 9001, "fields": permission("pack")},
        {"model": "orders.order", "pk": 7, "fields": order("ada")},
    ]
    path.write_text(json.dumps(rows))
    typed("loaddata", str(path))

    assert json.loads(typed("dumpdata", "orders.order").out)[0]["pk"] == 7


def test_a_fixture_of_one_database_is_not_looked_up_in_the_others(tmp_path: Path) -> None:
    """Though natural keys could be, and the other formats are not those that hold several."""
    path = tmp_path / "groups.xml"
    Group.objects.create(name="staff").permissions.set(Permission.objects.all()[:1])
    typed("dumpdata", "auth", "--natural-foreign", "--format=xml", f"--output={path}")
    Group.objects.all().delete()
    typed("loaddata", str(path))

    assert Group.objects.get().permissions.exists()


def test_a_test_cases_fixture_is_loaded_into_each_database_as_far_as_it_belongs_there(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps([{"model": "auth.permission", "pk": 9001, "fields": permission("pack")}]))
    for alias in usable_aliases():
        call_command("loaddata", str(path), database=alias, verbosity=0)

    assert Permission.objects.get(pk=9001).codename == "pack"


def test_a_program_is_told_of_a_fixture_that_is_nowhere() -> None:
    with pytest.raises(CommandError, match="No fixture named 'nowhere' found"):
        call_command("loaddata", "nowhere", database="auth_db")


def permission(codename: str) -> dict[str, object]:
    """Refers to a content type by its natural key, which is looked up in one database and no other."""
    return {"codename": codename, "name": "May pack", "content_type": ["orders", "order"]}


def order(name: str) -> dict[str, object]:
    return {"customer_id": 1, "customer_name": name, "created_at": "2026-03-01T12:00:00Z", "status": "placed"}


def test_a_fixture_named_after_a_database_is_for_that_one(tmp_path: Path) -> None:
    """Django's own convention."""
    group = {"model": "auth.group", "pk": 5, "fields": {"name": "staff"}}
    (tmp_path / "shop.auth_db.json").write_text(json.dumps([group]))
    path = tmp_path / "shop.orders_db.json"
    path.write_text(json.dumps([{"model": "orders.order", "pk": 7, "fields": order("ada")}]))
    typed("loaddata", str(tmp_path / "shop.json"))

    assert Group.objects.filter(pk=5).exists()
    assert json.loads(typed("dumpdata", "orders.order").out)[0]["pk"] == 7


def test_the_whole_project_is_inspected_database_by_database() -> None:
    printed = typed("inspectdb").out

    assert all(f"# The database {alias}." in printed for alias in usable_aliases())
    assert {"class AccountsUser(", "class CatalogueProduct(", "class OrdersOrder("} <= {
        line.partition("(")[0] + "(" for line in printed.splitlines() if line.startswith("class ")
    }


def test_the_database_that_failed_is_named_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["auth_db"], "ensure_connection", Mock(side_effect=OperationalError("refused")))
    count = len(list(migratable_aliases()))
    complaint = rf"(?s)failed on 1 of {count} databases:\n  auth_db: .*refused.*others are done"
    with pytest.raises(CommandError, match=complaint):
        typed("showmigrations")


def test_a_client_says_which_of_the_databases_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.core.management.commands.dbshell.Command.handle", lambda self, **options: None)

    assert "Database default (DATABASE_URL)" in typed("dbshell").err


def test_a_shell_says_what_is_where_and_which_database_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = complete({**connections.settings["orders_db"], "TEST": {"MIRROR": "orders_db"}})
    monkeypatch.setitem(connections.settings, "reports", copy)

    held = dict(get_targets().holdings())

    assert held["reports"] == "a copy of orders_db"
    assert "orders" in held["orders_db"]
