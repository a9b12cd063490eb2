"""A command that knows nothing of tenants, run once for each of them."""

import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Barrier, Event
from typing import Any

import pytest
from django.core import management
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from typed import typed

from accounts.models import User
from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.tenant_context import CurrentTenant, TenantSwitchError, get_current_tenant, tenant_context
from tenants.models import Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

BOTH = ("--tenant=acme", "--tenant=globex")
NEW_USER = ("--noinput", "--username=eve", "--email=eve@example.com")


class Seen(list[Any]):
    """What a command that stands for a package's has been called with, and what it is to do then."""

    act: Callable[[str], None] = staticmethod(lambda name: None)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """A command ``packages`` as one from PyPI is written: for a project with one database."""
    seen = Seen()

    class Command(BaseCommand):
        def add_arguments(self, parser: CommandParser) -> None:
            parser.add_argument("words", nargs="*")
            parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))
            parser.add_argument("--queue", default=DEFAULT_DB_ALIAS)

        def handle(self, *args: Any, **options: Any) -> None:
            tenant = get_current_tenant()
            assert tenant
            seen.append((tenant.name, options["words"], options["database"], options["queue"]))
            self.stdout.write(f"{Product.objects.count()} at {tenant.name}")
            seen.act(tenant.name)

    found = management.get_commands()
    monkeypatch.setitem(found, "packages", "catalogue")
    load = management.load_command_class
    monkeypatch.setattr(
        management,
        "load_command_class",
        lambda app, name: Command() if name == "packages" else load(app, name),
    )
    return seen


@pytest.fixture
def suspended_and_half_made() -> None:
    Tenant.objects.filter(name="globex").update(state=Tenant.State.SUSPENDED)
    Tenant.objects.create(name="made", state=Tenant.State.CREATING)
    Tenant.objects.create(name="removed", state=Tenant.State.DELETING)


def test_it_runs_in_each_tenants_context_with_its_arguments_as_they_are(packages: Seen, globex: CurrentTenant) -> None:
    with tenant_context(globex):
        ProductFactory.create()

    done = typed("run_on_tenants", *BOTH, "packages", "--queue", "slow", "--", "a", "--tenant=b")

    assert packages == [
        ("acme", ["a", "--tenant=b"], "tenant_acme", "slow"),
        ("globex", ["a", "--tenant=b"], "tenant_globex", "slow"),
    ]
    assert done.out == "0 at acme\n1 at globex\n"
    assert done.err == "Tenant acme (1 of 2):\nTenant globex (2 of 2):\n"
    assert get_current_tenant() is None


@pytest.mark.usefixtures("suspended_and_half_made")
def test_all_are_those_that_are_whole(packages: Seen) -> None:
    typed("run_on_tenants", "--all", "packages")

    assert [name for name, *_ in packages] == ["acme", "globex"]


@pytest.mark.usefixtures("suspended_and_half_made")
@pytest.mark.parametrize("name", ["made", "removed"])
def test_one_that_is_not_whole_is_refused(packages: Seen, name: str) -> None:
    with pytest.raises(CommandError, match=f"delete_tenant {name}"):
        typed("run_on_tenants", "--tenant=acme", f"--tenant={name}", "packages")

    assert packages == []


def test_the_shared_database_is_acted_on_only_where_it_is_named(packages: Seen) -> None:
    typed("run_on_tenants", "--tenant=acme", "packages")
    typed("run_on_tenants", "--tenant=acme", "packages", "--database=default")

    assert [database for _, _, database, _ in packages] == ["tenant_acme", "default"]


def test_djangos_commands_act_on_the_tenant() -> None:
    typed("run_on_tenants", *BOTH, "createsuperuser", *NEW_USER)

    found = [User.objects.using(alias).filter(username="eve").count() for alias in connections]
    assert dict(zip(connections, found, strict=True)) == {"default": 0, "tenant_acme": 1, "tenant_globex": 1}


def test_a_failure_does_not_keep_the_others_and_is_summed_up(packages: Seen) -> None:
    def fail(name: str) -> None:
        if name == "acme":
            raise ZeroDivisionError("by nothing")

    packages.act = fail
    with pytest.raises(CommandError) as caught:
        typed("run_on_tenants", "--all", "packages", "two words")

    assert [name for name, *_ in packages] == ["acme", "globex"]
    assert "failed for 1 of 2 tenants" in str(caught.value)
    assert "acme: ZeroDivisionError: by nothing" in str(caught.value)
    assert "run_on_tenants --tenant acme packages 'two words'" in str(caught.value)
    assert caught.value.returncode == 1


@pytest.mark.parametrize("code", [None, 0])
def test_a_command_that_exits_well_has_not_failed(packages: Seen, code: int | None) -> None:
    packages.act = lambda name: sys.exit(code)

    typed("run_on_tenants", "--all", "packages")

    assert len(packages) == 2


@pytest.mark.parametrize(
    ("codes", "status"), [({"acme": 3}, 3), ({"acme": 3, "globex": 3}, 3), ({"acme": 3, "globex": 4}, 1)]
)
def test_the_exit_status_is_the_commands_own_if_all_agree(packages: Seen, codes: dict[str, int], status: int) -> None:
    packages.act = lambda name: sys.exit(codes.get(name))

    with pytest.raises(CommandError) as caught:
        typed("run_on_tenants", "--all", "packages")

    assert caught.value.returncode == status


def test_what_a_command_leaves_open_is_not_the_next_ones(packages: Seen, globex: CurrentTenant) -> None:
    left: list[tenant_context] = []

    def leave_open(name: str) -> None:
        left.append(tenant_context(globex, switch=True))
        left[-1].__enter__()

    packages.act = leave_open
    typed("run_on_tenants", *BOTH, "packages")

    assert [name for name, *_ in packages] == ["acme", "globex"]
    assert get_current_tenant() is None


def test_a_mistake_in_the_arguments_is_told_once_before_the_first_tenant(
    packages: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        typed("run_on_tenants", "--all", "packages", "--nonsense")

    assert packages == []
    assert capsys.readouterr().err.count("unrecognized arguments: --nonsense") == 1


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("migrate", "manage.py migrate_tenants"),
        ("list_tenants", "knows its tenants itself"),
        ("run_on_tenants", "knows its tenants itself"),
        ("runserver", "about the whole project"),
        ("makemigrations", "about the whole project"),
    ],
)
def test_what_has_no_tenant_to_be_run_for_is_refused(name: str, remedy: str) -> None:
    with pytest.raises(CommandError, match=remedy):
        typed("run_on_tenants", "--all", name)


def test_a_misspelt_command_is_answered_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        typed("run_on_tenants", "--all", "clearsession")

    assert "Did you mean clearsessions?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["packages"], ["--all", "--tenant=acme", "packages"], ["--all"], ["--all", "--"]])
def test_whom_for_and_what_must_be_said(packages: Seen, words: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("run_on_tenants", *words)

    assert packages == []


@pytest.mark.usefixtures("packages")
def test_code_that_works_for_a_tenant_does_not_run_a_command_for_another(acme: CurrentTenant) -> None:
    with tenant_context(acme), pytest.raises(CommandError, match=f"globex: {TenantSwitchError.__name__}"):
        typed("run_on_tenants", "--all", "packages")


# Several at once


def test_jobs_run_at_once_and_each_ones_output_is_kept_together(
    packages: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    both_are_there = Barrier(2, timeout=10)

    def talk(name: str) -> None:
        for part in range(3):
            both_are_there.wait()
            print(name, part)

    packages.act = talk
    done = typed("run_on_tenants", "--jobs=2", *BOTH, "packages")

    assert capsys.readouterr().out.split("\n")[:-1] in permutations_of(
        ["acme 0", "acme 1", "acme 2"], ["globex 0", "globex 1", "globex 2"]
    )
    assert done.out.splitlines() in permutations_of(["0 at acme"], ["0 at globex"])
    assert done.err.splitlines() in permutations_of(["Tenant acme (1 of 2):"], ["Tenant globex (2 of 2):"])


def permutations_of(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    return one + other, other + one


def test_of_jobs_that_fail_each_is_named_in_the_tenants_order(packages: Seen) -> None:
    globex_failed = Event()

    def fail(name: str) -> None:
        if name == "acme":
            assert globex_failed.wait(timeout=10)
        else:
            globex_failed.set()
        sys.exit(3)

    packages.act = fail
    with pytest.raises(CommandError) as caught:
        typed("run_on_tenants", "--jobs=2", "--all", "packages")

    assert "run_on_tenants --tenant acme --tenant globex packages" in str(caught.value)
    assert caught.value.returncode == 3


def test_a_job_that_fails_keeps_no_other_from_its_turn(packages: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(name: str) -> None:
        if name == "acme":
            raise ZeroDivisionError("by nothing")

    packages.act = fail
    with pytest.raises(CommandError, match="failed for 1 of 3 tenants"):
        typed("run_on_tenants", "--traceback", "--jobs=2", "--tenant=acme", *BOTH, "packages")

    assert sorted(name for name, *_ in packages) == ["acme", "acme", "globex"]
    assert "raise ZeroDivisionError" in capsys.readouterr().err


def test_a_signal_lets_the_jobs_at_hand_finish_and_names_those_that_had_no_turn(packages: Seen) -> None:
    before = signal.getsignal(signal.SIGINT)
    both_are_there = Barrier(2, timeout=10)

    def stop(name: str) -> None:
        both_are_there.wait()
        if name == "acme":
            os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) != before:  # as it is again once the first one was heard
            time.sleep(0.001)

    packages.act = stop
    with pytest.raises(CommandError, match="failed for 2 of 4 tenants") as caught:
        typed("run_on_tenants", "--jobs=2", *BOTH, *BOTH, "packages")

    assert sorted(name for name, *_ in packages) == ["acme", "globex"]
    assert "globex: it had no turn before the run was stopped" in str(caught.value)


def test_a_job_can_ask_nobody(packages: Seen) -> None:
    def ask(name: str) -> None:
        input("Really? ")

    packages.act = ask
    with pytest.raises(CommandError, match="acme: EOFError"):
        typed("run_on_tenants", "--jobs=2", "--tenant=acme", "packages")


@pytest.mark.usefixtures("packages")
def test_jobs_of_code_that_works_for_a_tenant_stay_there(acme: CurrentTenant) -> None:
    with tenant_context(acme), pytest.raises(CommandError, match=f"globex: {TenantSwitchError.__name__}"):
        typed("run_on_tenants", "--jobs=2", "--all", "packages")


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_number_of_jobs_that_makes_no_sense_is_refused(packages: Seen, jobs: str) -> None:
    with pytest.raises(CommandError, match="no number of 1 or more"):
        call_command("run_on_tenants", "--all", f"--jobs={jobs}", "packages")

    assert packages == []
