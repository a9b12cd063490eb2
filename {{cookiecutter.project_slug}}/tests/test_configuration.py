"""A wrong configuration is named before anything runs: the alias, the variable, what to do."""

import os

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import OperationalError, connections
from other_settings import run_python

from config import engine
from config.env import database, from_url, seconds, switch, whereabouts
from dbrouting import checks, reachability
from dbrouting.aliases import usable_aliases
from dbrouting.apps import require_settings


def test_a_missing_url_names_alias_and_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPORTS_DATABASE_URL", raising=False)

    with pytest.raises(ImproperlyConfigured, match=r"'reports'.*REPORTS_DATABASE_URL is not set.*\.env"):
        database("reports", "REPORTS_DATABASE_URL")


@pytest.mark.parametrize(
    "url",
    ["nonsense", "oracle://user:secret@host/name", "://", "http://host/secret", "postgres://user:secret/x@host/db"],
)
def test_a_malformed_url_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        from_url("reports", "REPORTS_DATABASE_URL", url)

    message = str(caught.value)
    assert "'reports'" in message
    assert "REPORTS_DATABASE_URL" in message
    assert engine.EXAMPLE_URL in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "url",
    [
        "nonsense@host.internal/name",
        "postgres:/user:secret@host/name",
        "user:secret@host:5432/name",
        "oracle://user:secret",
        "oracle://user:sec@secret@host:port/name",
        "oracle://user:secret/@host:port/name",
    ],
)
def test_no_part_of_a_password_is_taken_for_a_host(url: str) -> None:
    assert whereabouts(url) == ""


def test_a_malformed_url_is_told_from_others_by_its_host() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"the database 'reports' on h1\.internal:port, can't be used"):
        from_url("reports", "REPORTS_DATABASE_URL", "oracle://user:secret@h1.internal:port/name")


def test_two_urls_with_no_space_between_are_not_taken_for_one() -> None:
    with pytest.raises(ImproperlyConfigured, match="it is more than one URL"):
        from_url("reports", "REPORTS_DATABASE_URL", f"{engine.EXAMPLE_URL},{engine.EXAMPLE_URL}")


def test_a_good_url_carries_the_name_of_its_variable() -> None:
    assert from_url("reports", "REPORTS_DATABASE_URL", engine.EXAMPLE_URL)["VARIABLE"] == "REPORTS_DATABASE_URL"


@pytest.mark.django_db
def test_an_unreachable_database_is_named_with_its_variable_and_the_next_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alias = usable_aliases()[-1]

    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connections[alias], "ensure_connection", refuse)

    with pytest.raises(CommandError, match=f"'{alias}' can't be reached: connection refused") as caught:
        reachability.require_reachable(alias, then="python manage.py migrate")

    assert str(connections.settings[alias]["VARIABLE"]) in str(caught.value)
    assert "python manage.py migrate" in str(caught.value)
    assert reachability.explain_failure(then="python manage.py migrate") == str(caught.value)


@pytest.mark.django_db
def test_an_error_that_is_not_about_reaching_a_database_is_left_alone() -> None:
    assert reachability.explain_failure("python manage.py migrate") is None


def test_a_plain_dict_of_databases_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.DATABASES", {"default": {}})

    assert [message.id for message in checks.check_mapping(None)] == ["dbrouting.E001"]


def test_a_missing_override_router_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.DATABASE_ROUTERS", [object()])

    assert [message.id for message in checks.check_override_router(None)] == ["dbrouting.E002"]


def test_how_long_connections_are_kept_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_CONN_MAX_AGE", "7")
    assert from_url("reports", "REPORTS_DATABASE_URL", engine.EXAMPLE_URL)["CONN_MAX_AGE"] == 7

    monkeypatch.setenv("DATABASE_CONN_MAX_AGE", "a while")
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_CONN_MAX_AGE='a while' must be a whole number"):
        from_url("reports", "REPORTS_DATABASE_URL", engine.EXAMPLE_URL)


@pytest.mark.parametrize("written", ["-1", "soon", "2 min", "1,5", "nan", "inf"])
def test_what_is_no_number_of_seconds_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SOME_SECONDS", written)

    with pytest.raises(ImproperlyConfigured, match=f"SOME_SECONDS='{written}' must be a number of seconds, 0 or more"):
        seconds("SOME_SECONDS", default=2.0)


@pytest.mark.parametrize(("written", "read"), [("0", 0), ("0.5", 0.5), ("1e3", 1000), ("", 2)])
def test_seconds_are_read_as_they_are_written(monkeypatch: pytest.MonkeyPatch, written: str, read: float) -> None:
    monkeypatch.setenv("SOME_SECONDS", written)

    assert seconds("SOME_SECONDS", default=2.0) == read


def test_where_the_default_is_whole_a_fraction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cookie's age of half a second, for instance, would be sent as 0."""
    monkeypatch.setenv("SOME_SECONDS", "0.5")

    with pytest.raises(ImproperlyConfigured, match=r"SOME_SECONDS='0\.5' must be a whole number of seconds"):
        seconds("SOME_SECONDS", default=2)


@pytest.mark.parametrize("written", ["ture", "flase", "2", "enabled"])
def test_what_is_neither_true_nor_false_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """A site whose HTTPS is switched on by "ture" must not come up without."""
    monkeypatch.setenv("SOME_SWITCH", written)

    with pytest.raises(ImproperlyConfigured, match=f"SOME_SWITCH='{written}' must be true or false"):
        switch("SOME_SWITCH", default=True)


@pytest.mark.parametrize(("written", "read"), [("True", True), ("1", True), ("Off", False), ("no", False), ("", True)])
def test_switches_are_read_as_they_are_written(monkeypatch: pytest.MonkeyPatch, written: str, read: bool) -> None:
    monkeypatch.setenv("SOME_SWITCH", written)

    assert switch("SOME_SWITCH", default=True) is read


def test_under_asgi_no_connection_is_kept() -> None:
    """Asked of a process of its own: the entry point says so before the settings are read."""
    others = {name: value for name, value in os.environ.items() if name != "DATABASE_CONN_MAX_AGE"}
    script = (
        "import config.asgi\n"
        "from django.conf import settings\n"
        "print({config.get('CONN_MAX_AGE', 0) for config in settings.DATABASES.values()})"
    )

    assert run_python(others, "-c", script).splitlines()[-1] == "{0}"


def test_settings_that_are_missing_are_named_together() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"missing: FIRST_OF_TWO, SECOND_OF_TWO\. .*config/databases\.py"):
        require_settings(["BASE_DIR", "FIRST_OF_TWO", "SECOND_OF_TWO"])
