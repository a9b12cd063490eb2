"""``show_routing`` and ``check_databases`` know tenants: the rule needs none of them, and each can be named."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.db.models import Model

from accounts.models import User
from catalogue.models import Product
from dbrouting.explaining import explain_rule
from dbrouting.routers import TenantRouter
from dbrouting.tenant_context import CurrentTenant, tenant_context
from tenants.models import Tenant

RAISES = "raises NoActiveTenantError"


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def reads(model: type[Model]) -> set[tuple[str | None, str, str]]:
    return {(one.alias, one.reason, one.when) for one in explain_rule([model]) if one.operation == "read"}


@pytest.mark.no_tenant
def test_the_rule_holds_for_any_tenant_and_says_where_it_raises() -> None:
    assert reads(Product) == {
        ("tenant_*", "the tenant's own database", "a tenant is active"),
        (None, RAISES, "the shared site is active"),
        (None, RAISES, "neither is active"),
    }
    assert ("default", "EVERY_SITE_APPS", "the shared site is active") in reads(User)
    assert reads(Tenant) == {("default", "SHARED_APPS", "")}


def test_a_model_without_a_home_is_allowed_on_no_kind_of_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TenantRouter, "allow_migrate", lambda *args, **hints: False)

    [migrate] = (one for one in explain_rule([Product]) if one.operation == "migrate")

    assert migrate.reason == "allowed on none of default, tenant_*"


def test_code_that_works_for_a_tenant_asks_about_that_one() -> None:
    assert reads(User) == {("tenant_*", "the tenant's own database", "")}


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_a_tenant_can_be_named(globex: CurrentTenant) -> None:
    rows = json.loads(output_of("show_routing", "--tenant=globex", "--json", "orders"))
    assert {row["alias"] for row in rows if row["operation"] == "write"} == {globex.alias}

    report = json.loads(output_of("check_databases", "--tenant=globex", "--json"))
    assert [found["alias"] for found in report["databases"]] == [globex.alias]


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_a_tenant_that_is_not_there_is_refused() -> None:
    with pytest.raises(CommandError, match="initech"):
        output_of("check_databases", "--tenant=initech")


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_where_the_tenants_are_looked_up_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connections["default"], "ensure_connection", refuse)
    monkeypatch.setattr(connections.settings, "unlisted", lambda: pytest.fail("The tenants were looked up."))

    out = StringIO()
    with pytest.raises(SystemExit) as stop:
        call_command("check_databases", stdout=out)
    with pytest.raises(CommandError, match="'default' can't be reached") as error:
        output_of("check_databases", "--tenant=globex")
    assert stop.value.code == error.value.returncode == 2
    assert "looked up there weren't checked" in out.getvalue()


@pytest.mark.django_db
def test_a_database_is_named_while_a_tenant_is_active(acme: CurrentTenant) -> None:
    with tenant_context(acme):
        assert "default" in output_of("check_databases", "--database=default")
