"""``dbshell --tenant``: the server's own shell sits in the tenant's schema, and finds nothing of what is beside it."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.core.management.commands import dbshell
from django.db import connections
from psycopg import Connection
from psycopg.errors import UndefinedTable
from typed import typed

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

Session = Connection[tuple[str]]


@pytest.fixture
def session_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Session]]:
    """What ``psql`` would open: libpq reads the same variables."""
    opened: list[Session] = []

    def open_session(name: str) -> Session:
        alias = f"tenant_{name}"
        settings = connections[alias].settings_dict
        _, variables = connections[alias].client.settings_to_cmd_args_env(settings, [])
        for variable, value in (variables or {}).items():
            monkeypatch.setenv(variable, value)
        where = {"host": settings["HOST"], "port": settings["PORT"], "user": settings["USER"]}
        opened.append(psycopg.connect(dbname=settings["NAME"], autocommit=True, **where))
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


def setting(session: Session, name: str) -> str:
    (value,) = session.execute(f"SHOW {name}").fetchone() or ("",)
    return value


@pytest.mark.parametrize("name", ["acme", "globex"])
def test_it_is_in_the_tenants_schema_only_also_after_a_reset(session_of: Callable[[str], Session], name: str) -> None:
    session = session_of(name)
    session.execute("RESET ALL")

    assert setting(session, "search_path") == connections[f"tenant_{name}"].settings_dict["SCHEMA"]


def test_it_finds_no_shared_table(session_of: Callable[[str], Session]) -> None:
    with pytest.raises(UndefinedTable):
        session_of("acme").execute("SELECT 1 FROM tenants_tenant")


def test_what_its_user_asks_for_besides_still_holds(
    session_of: Callable[[str], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=7s")

    assert setting(session_of("acme"), "statement_timeout") == "7s"


def test_the_command_asks_for_the_shell_of_the_tenant_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(dbshell.Command, "handle", lambda self, **options: asked.append(options["database"]))

    typed("dbshell", "--tenant=globex")

    assert asked == ["tenant_globex"]
