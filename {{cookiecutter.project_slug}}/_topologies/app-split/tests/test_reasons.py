"""``show_routing`` and ``check_databases`` know what the map says, and what it leaves out."""

from typing import Any

import pytest
from django.db import connections

from accounts.models import User
from catalogue.models import Product
from dbrouting.explaining import explain_rule
from dbrouting.inspection.routing import findings_about_routing
from outbox.models import Message, Receipt


def test_the_map_is_the_reason() -> None:
    rule = explain_rule([User])

    assert {(one.operation, one.alias) for one in rule} == {
        ("read", "auth_db"),
        ("write", "auth_db"),
        ("migrate", "auth_db"),
    }
    assert {one.reason for one in rule} == {'DATABASE_APPS_MAPPING["accounts"]'}


def test_a_write_to_a_read_only_database_is_told_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["auth_db"], "READ_ONLY", True)

    reasons = {one.operation: one.reason for one in explain_rule([User])}

    assert reasons["write"] == "read-only, so that it raises ReadOnlyDatabaseError"
    assert reasons["read"] == 'DATABASE_APPS_MAPPING["accounts"]'


def test_the_outbox_is_in_every_database_and_nobodys_fault(settings: Any) -> None:
    rule = explain_rule([Message, Receipt])

    assert {one.alias for one in rule if one.operation == "migrate"} == {*settings.DATABASE_APPS_MAPPING.values()}
    assert {one.reason for one in rule} == {"in every database that holds tables, and asked for by alias"}
    assert list(findings_about_routing()) == []


def test_an_app_that_nobody_mapped_is_pointed_out(settings: Any) -> None:
    settings.DATABASE_APPS_MAPPING = {
        label: alias for label, alias in settings.DATABASE_APPS_MAPPING.items() if label != "catalogue"
    }

    assert {one.reason for one in explain_rule([Product])} == {"not in DATABASE_APPS_MAPPING, so default"}
    [finding] = findings_about_routing()
    assert finding.severity == "info"
    assert "catalogue" in finding.what


def test_an_app_that_is_mapped_to_no_database_of_the_projects_is_an_error(settings: Any) -> None:
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, "catalogue": "shelf"}

    errors = [finding for finding in findings_about_routing() if finding.severity == "error"]

    assert any("catalogue.Product is on no database" in finding.what for finding in errors)
