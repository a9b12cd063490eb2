"""Each check is silent on the project as it is, says what it found, and never asks a database."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as project_settings
from django.core.checks import CheckMessage
from django.core.checks.registry import registry
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, SystemCheckError
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View

from dbrouting import checks, topology_checks
from dbrouting.aliases import usable_aliases
from dbrouting.management.commands.migrate import Command as Migrate
from dbrouting.mapping import complete
from orders.models import OrderLine

ALIAS = usable_aliases()[0]
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "archive.sqlite3"}


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id) for message in messages]


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@transaction.non_atomic_requests
async def exempt(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class AsynchronousView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


urlpatterns = [
    path("plain/", plain),
    path("exempt/", exempt),
    path("class/", AsynchronousView.as_view()),
    path("deeper/", include([path("function/", asynchronous)])),
]


def name_of(check: Any) -> str:
    return str(check.__name__)


# Sorted, because pytest-xdist's workers must agree on an order.
CHECKS = sorted((check for check in registry.registered_checks if checks.TAG in check.tags), key=name_of)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_the_project_passes(check: Any) -> None:
    """Unmarked, so that pytest-django lets no check connect."""
    assert check(app_configs=None, databases=None) == []


def test_the_readme_and_the_pages_beside_it_list_every_id_and_no_other() -> None:
    sources = "".join(file.read_text("utf-8") for file in Path(checks.__file__).parent.rglob("*.py"))
    pages = "".join(file.read_text("utf-8") for file in project_settings.BASE_DIR.glob("*.md"))

    listed = re.findall(r"^\| `(dbrouting\.\w+)` \|", pages, flags=re.MULTILINE)

    assert set(listed) == set(re.findall(r"dbrouting\.[EWI]\d{3}", sources))


# Databases


class Refuse:
    """A router in front of the project's own that has no place for orders' lines."""

    def allow_migrate(self, db: str, app_label: str, model_name: str = "", **hints: Any) -> bool | None:
        return False if (app_label, model_name) == ("orders", "orderline") else None


def test_a_model_that_no_database_may_have_is_an_error(settings: LazySettings) -> None:
    settings.DATABASE_ROUTERS = [Refuse(), *settings.DATABASE_ROUTERS]

    [error] = topology_checks.check_every_model_has_a_home(None)

    assert error.id == "dbrouting.E004"
    assert error.msg == "No database may have the table of orders.OrderLine."
    assert error.obj == "orders"


def test_a_model_without_a_table_of_its_own_needs_no_database(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATABASE_ROUTERS = [Refuse(), *settings.DATABASE_ROUTERS]
    monkeypatch.setattr(OrderLine._meta, "managed", False)

    assert topology_checks.check_every_model_has_a_home(None) == []


def test_an_alias_without_apps_may_lead_to_the_database_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings, "reports", connections.settings[ALIAS])

    assert checks.check_aliases_differ(None) == []


def test_two_aliases_of_one_database_are_an_error(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DATABASE_ROUTERS = []
    config = connections.settings[ALIAS]
    monkeypatch.setitem(connections.settings, "copy", {**config, "VARIABLE": "COPY_DATABASE_URL"})
    monkeypatch.setitem(connections.settings, "other", {**config, "NAME": "other"})

    [error] = [error for error in checks.check_aliases_differ(None) if "'copy'" in error.msg]

    assert error.id == "dbrouting.E009"
    assert f"'{ALIAS}'" in error.msg
    assert "'other'" not in error.msg
    assert "COPY_DATABASE_URL" in str(error.hint)


def test_a_database_without_apps_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings, "archive", complete(SQLITE))
    monkeypatch.setitem(connections.settings, "mirror", complete({**SQLITE, "TEST": {"MIRROR": ALIAS}}))
    monkeypatch.setitem(connections.settings, "legacy", complete({**SQLITE, "READ_ONLY": True}))

    [info] = checks.check_aliases_are_used(None)

    assert info.id == "dbrouting.I001"
    assert "'archive'" in info.msg


@pytest.mark.parametrize("switch", checks.SWITCHES)
def test_a_switch_that_the_url_has_as_text_is_an_error(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    monkeypatch.setitem(connections.settings[ALIAS], switch, "false")

    [error] = checks.check_switches_are_no_text(None)

    assert error.id == "dbrouting.E007"
    assert f"{switch} of '{ALIAS}'" in error.msg
    assert f"{switch}=False in {connections.settings[ALIAS]['VARIABLE']}" in str(error.hint)


def test_asynchronous_views_are_named_where_atomic_requests_refuses_them(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROOT_URLCONF = __name__
    assert checks.check_views_fit_atomic_requests(None) == []

    monkeypatch.setitem(connections.settings[ALIAS], "ATOMIC_REQUESTS", True)
    errors = checks.check_views_fit_atomic_requests(None)

    assert ids(errors) == ["dbrouting.E008"] * 2
    assert f"{__name__}.AsynchronousView" in errors[0].msg
    assert f"{__name__}.asynchronous" in errors[1].msg
    assert f"'{ALIAS}'" in errors[0].msg


# Settings


def test_a_command_of_an_app_in_front_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {**get_commands(), "migrate": "django.core"}
    monkeypatch.setattr(checks, "get_commands", lambda: owners)

    [error] = checks.check_commands_are_ours(None)

    assert error.id == "dbrouting.E010"
    assert "`manage.py migrate` is that of django.core" in error.msg


def test_a_command_that_is_built_on_ours_may_stand_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    class Extended(Migrate):
        """What an app of the reader's may have."""

    def load(app: str, name: str) -> BaseCommand:
        return Extended()

    owners = {**get_commands(), "migrate": "shop"}
    monkeypatch.setattr(checks, "get_commands", lambda: owners)
    monkeypatch.setattr(checks, "load_command_class", load)

    assert checks.check_commands_are_ours(None) == []


def test_bootstrap_begins_with_the_checks(settings: LazySettings) -> None:
    """It says "Ready" at the end, and should mean it."""
    settings.DATABASE_TARGETS = "missing.Targets"

    with pytest.raises(SystemCheckError, match=r"dbrouting\.E011"):
        call_command("bootstrap", skip_checks=False)


@pytest.mark.parametrize("value", ["dbrouting.targets.Missing", "missing.Targets", "nonsense", "", None])
def test_a_setting_that_leads_to_no_code_is_an_error(settings: LazySettings, value: str | None) -> None:
    settings.DATABASE_TARGETS = value

    [error] = checks.check_targets(None)

    assert error.id == "dbrouting.E011"
    assert error.msg.startswith(f"DATABASE_TARGETS is {value!r}")
