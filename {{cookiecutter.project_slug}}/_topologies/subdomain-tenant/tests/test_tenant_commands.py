"""Django's commands where each tenant has users, sessions and rows of its own, and the shared site too."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from typed import typed

from accounts.models import User
from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.commands import OnEachTarget
from dbrouting.management.commands.shell import Prompt
from dbrouting.tenant_context import (
    CurrentTenant,
    TenantSwitchError,
    get_current_tenant,
    shared_context,
    tenant_context,
)
from reference.models import Currency
from tenants.models import Tenant
from tenants.targets import TenantTargets

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

SITES = ("default", "tenant_acme", "tenant_globex")
NEW_TENANT = {"name": "initech", "created_at": "2026-03-01T12:00:00Z"}
NEW_USER = ("--noinput", "--username=eve", "--email=eve@example.com")


@pytest.fixture
def shops(acme: CurrentTenant, globex: CurrentTenant) -> None:
    """The same product in both shops, at another price."""
    for tenant, price in ((acme, 5), (globex, 7)):
        with tenant_context(tenant):
            ProductFactory.create(slug="sencha", price=price)


def sites_with(username: str) -> list[str]:
    return [alias for alias in SITES if User.objects.using(alias).filter(username=username).exists()]


def test_a_superuser_is_the_shared_sites_unless_a_tenant_is_named() -> None:
    done = typed("createsuperuser", *NEW_USER)

    assert sites_with("eve") == ["default"]
    assert "Database default (" in done.err


def test_a_superuser_of_a_tenant_is_made_there_alone() -> None:
    typed("createsuperuser", "--tenant=acme", *NEW_USER)

    assert sites_with("eve") == ["tenant_acme"]


def test_code_that_a_command_calls_works_for_its_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that makes the new user's profile, for instance."""
    seen: list[CurrentTenant | None] = []
    monkeypatch.setattr(User, "save", lambda self, **kwargs: seen.append(get_current_tenant()))
    typed("createsuperuser", "--tenant=acme", *NEW_USER)

    assert [tenant and tenant.alias for tenant in seen] == ["tenant_acme"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--tenant=nobody"], "No tenant is called 'nobody'"),
        (["--database=tenant_nobody"], "No tenant has the alias 'tenant_nobody'"),
        (["--tenant=acme", "--tenant=globex"], "This acts on one database: give one --tenant"),
        (["--tenant=acme", "--database=default"], "--database or --tenant, not both"),
    ],
)
def test_options_that_name_no_one_tenant_are_refused(options: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        typed("createsuperuser", *NEW_USER, *options)

    assert sites_with("eve") == []


def test_code_that_works_for_a_tenant_runs_commands_there(acme: CurrentTenant) -> None:
    with tenant_context(acme):
        typed("createsuperuser", *NEW_USER)

    assert sites_with("eve") == ["tenant_acme"]


def test_code_that_works_for_the_shared_site_leaves_the_tenants_alone(expired: Callable[[], list[str]]) -> None:
    with shared_context():
        typed("clearsessions")

    assert expired() == ["tenant_acme", "tenant_globex"]


def test_code_that_works_for_a_tenant_does_not_reach_another_by_a_command(acme: CurrentTenant) -> None:
    with tenant_context(acme), pytest.raises(TenantSwitchError):
        call_command("clearsessions", database="tenant_globex")


@pytest.fixture
def expired() -> Callable[[], list[str]]:
    """Every site has a session that has expired; gives the sites that still have it."""
    for alias in SITES:
        Session(session_key="expired", expire_date="2020-01-01T00:00:00Z").save(using=alias)
    return lambda: [alias for alias in SITES if Session.objects.using(alias).exists()]


def test_sessions_are_cleared_on_every_site(expired: Callable[[], list[str]]) -> None:
    typed("clearsessions")

    assert expired() == []


def test_sessions_of_the_named_tenants_only_are_cleared(expired: Callable[[], list[str]]) -> None:
    typed("clearsessions", "--tenant=acme", "--tenant=globex")

    assert expired() == ["default"]


@pytest.mark.usefixtures("shops")
def test_a_dump_says_which_tenant_a_row_is_from() -> None:
    rows = json.loads(typed("dumpdata").out)
    prices = {row["database"]: row["fields"]["price"] for row in rows if row["model"] == "catalogue.product"}

    assert prices == {"tenant_acme": "5.00", "tenant_globex": "7.00"}
    assert not any("database" in row for row in rows if row["model"] == "reference.currency")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("shops")
def test_everything_of_every_site_can_be_loaded_again(tmp_path: Path) -> None:
    Currency.objects.create(code="XTS", name="Testing")
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    typed("dumpdata", f"--output={before}")
    typed("flush", "--no-input", "--bare")
    assert not Product.objects.using("tenant_acme").exists()

    typed("loaddata", str(before))
    typed("dumpdata", f"--output={after}")

    assert before.read_text() == after.read_text()


@pytest.mark.usefixtures("shops")
def test_the_rows_of_one_tenant_can_be_loaded_for_another(tmp_path: Path) -> None:
    path = tmp_path / "acme.json"
    Product.objects.using("tenant_globex").delete()
    typed("dumpdata", "catalogue", "--tenant=acme", f"--output={path}")
    typed("loaddata", str(path), "--tenant=globex")

    assert {product.price for product in Product.objects.using("tenant_globex")} == {5}


@pytest.mark.usefixtures("shops")
def test_a_test_cases_fixture_is_loaded_into_each_tenant_without_the_others_rows(tmp_path: Path) -> None:
    path = tmp_path / "both.json"
    typed("dumpdata", "catalogue.product", f"--output={path}")
    Product.objects.using("tenant_acme").delete()
    call_command("loaddata", str(path), database="tenant_acme", verbosity=0)

    assert {product.price for product in Product.objects.using("tenant_acme")} == {5}


@pytest.mark.usefixtures("shops")
def test_the_rows_of_another_tenant_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "both.json"
    typed("dumpdata", "catalogue.product", f"--output={path}")
    done = typed("loaddata", str(path), "--tenant=acme")

    assert {product.price for product in Product.objects.using("tenant_acme")} == {5}
    assert "1 of catalogue.Product from 'tenant_globex'" in done.err


def test_rows_of_a_tenant_who_comes_with_the_fixture_are_not_left_out_silently(tmp_path: Path) -> None:
    """Its database isn't there yet; `bootstrap` makes it."""
    path = tmp_path / "everything.json"
    tenant = {"model": "tenants.tenant", "pk": "0197a000-0000-7000-8000-000000000000", "fields": NEW_TENANT}
    group = {"model": "auth.group", "pk": 1, "fields": {"name": "staff"}, "database": "tenant_initech"}
    path.write_text(json.dumps([tenant, group]))
    with pytest.raises(CommandError, match=r"Not loaded.*: 1 of auth\.Group from 'tenant_initech'"):
        typed("loaddata", str(path))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("shops")
def test_a_flush_does_not_forget_the_tenants() -> None:
    """Their databases would be left to nobody."""
    done = typed("flush", "--no-input")

    assert "'default' is left as it is" in done.err
    assert Tenant.objects.count() == 2
    assert not Product.objects.using("tenant_acme").exists()
    assert not Product.objects.using("tenant_globex").exists()


@pytest.mark.django_db(transaction=True)
def test_a_flush_decides_what_to_empty_before_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant may be made while the question waits for its answer."""
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")

    assert typed("flush").err.count("'default' is left as it is") == 1


def test_to_flush_the_shared_database_alone_is_refused_while_there_are_tenants() -> None:
    with pytest.raises(CommandError, match="without them the tenants' databases would be nobody's"):
        typed("flush", "--no-input", "--database=default")

    assert Tenant.objects.count() == 2


def test_one_tenant_stands_for_all_where_only_tables_matter() -> None:
    printed = typed("inspectdb").out

    assert "# The database default." in printed
    assert "# The database tenant_acme." in printed
    assert "tenant_globex" not in printed


@pytest.fixture
def prompt() -> Prompt:
    return Prompt()


def test_the_prompt_says_whose_site_it_is(prompt: Prompt, acme: CurrentTenant) -> None:
    assert str(prompt) == "[no tenant] >>> "
    with tenant_context(acme):
        assert str(prompt) == "[acme] >>> "
    with shared_context():
        assert str(prompt) == "[the shared site] >>> "


def test_a_shell_for_a_tenant_works_there(capsys: pytest.CaptureFixture[str]) -> None:
    typed("shell", "-v0", "--tenant=acme", "-c", "from django.db import router; print(router.db_for_write(Product))")

    assert capsys.readouterr().out == "tenant_acme\n"


# The project's own


class Recount(OnEachTarget):
    """Knows nothing of tenants; fails where it finds nothing."""

    def handle_target(self, label: str, *args: Any, **options: Any) -> None:
        if not Product.objects.exists():
            raise ZeroDivisionError("no products")
        self.stdout.write(f"{label}: {Product.objects.get().price:.0f}")


@pytest.mark.usefixtures("shops")
@pytest.mark.parametrize(
    ("options", "output"),
    [
        ([], "acme: 5\nglobex: 7\n"),
        (["--tenant=globex"], "globex: 7\n"),
        (["--database=tenant_acme"], "tenant_acme: 5\n"),
    ],
)
def test_a_command_of_the_projects_own_runs_for_each_tenant_or_the_named_ones(options: list[str], output: str) -> None:
    out = StringIO()
    call_command(Recount(stdout=out), *options)

    assert out.getvalue() == output


def test_its_failure_for_one_tenant_does_not_keep_the_others(globex: CurrentTenant) -> None:
    with tenant_context(globex):
        ProductFactory.create(price=7)
    out = StringIO()

    complaint = r"(?s)on 1 of 2 tenants:\n  acme: ZeroDivisionError: no products.*others are done.*--tenant=NAME"
    with pytest.raises(CommandError, match=complaint):
        call_command(Recount(stdout=out))

    assert out.getvalue() == "globex: 7\n"


def test_its_failure_for_the_only_tenant_is_told_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        call_command(Recount(), "--tenant=acme")


def test_without_tenants_it_says_so() -> None:
    Tenant.objects.all().delete()
    err = StringIO()
    call_command(Recount(stderr=err))

    assert "There are no tenants yet" in err.getvalue()


def test_a_tenant_that_is_not_whole_is_left_out_and_refused_if_named() -> None:
    Tenant.objects.filter(name="acme").update(state=Tenant.State.CREATING)

    assert [label for label, _ in TenantTargets().each({})] == ["globex"]
    with pytest.raises(CommandError, match=r"its state is creating.*delete_tenant acme"):
        call_command(Recount(), "--tenant=acme")
