"""One tenant is worked on by one process, or thread, at a time."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connections

import config.databases
from config import engine
from dbrouting.aliases import lent
from dbrouting.provisioning import SQLite
from dbrouting.targets import get_targets
from tenants.errors import TenantBusyError
from tenants.locks import TenantLocks, tenant_lock

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

PREFIX = f"locked_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture(autouse=True)
def _files_beside_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test databases of SQLite are in memory, where there is nobody else to be kept off."""
    if "sqlite" in engine.ENGINE:
        server = {**config.databases.TENANT_SERVER, "NAME": str(tmp_path / "any.sqlite3")}
        monkeypatch.setattr(config.databases, "TENANT_SERVER", server)
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", PREFIX)


def elsewhere(function: Callable[[], object]) -> object:
    """``function`` in another thread, which holds nothing; its error instead of raising it."""

    def work() -> object:
        try:
            return function()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


def take(alias: str) -> str:
    with tenant_lock(alias):
        return "taken"


def test_who_comes_second_is_refused_at_once() -> None:
    with tenant_lock("tenant_initech"):
        refused = elsewhere(lambda: take("tenant_initech"))

    assert isinstance(refused, TenantBusyError)
    assert "'tenant_initech'" in str(refused)
    assert elsewhere(lambda: take("tenant_initech")) == "taken"


def test_another_tenant_has_a_lock_of_its_own() -> None:
    with tenant_lock("tenant_initech"):
        assert elsewhere(lambda: take("tenant_hooli")) == "taken"


def test_a_step_of_a_longer_work_does_not_wait_for_the_whole() -> None:
    with tenant_lock("tenant_initech"):
        assert take("tenant_initech") == "taken"
        assert isinstance(elsewhere(lambda: take("tenant_initech")), TenantBusyError)


def test_an_error_gives_the_lock_back() -> None:
    with pytest.raises(KeyError), tenant_lock("tenant_initech"):
        raise KeyError

    assert elsewhere(lambda: take("tenant_initech")) == "taken"


def test_one_session_takes_one_lock_after_the_other() -> None:
    with TenantLocks() as locks:
        with locks.hold("tenant_initech"):
            pass
        with locks.hold("tenant_hooli"):
            assert elsewhere(lambda: take("tenant_initech")) == "taken"
            assert isinstance(elsewhere(lambda: take("tenant_hooli")), TenantBusyError)


def test_migrate_takes_the_same_lock() -> None:
    def migrate() -> None:
        with get_targets().lock("tenant_initech"):
            raise AssertionError("migrated meanwhile")

    with tenant_lock("tenant_initech"):
        refused = elsewhere(migrate)

    assert isinstance(refused, CommandError)
    assert "at work on 'tenant_initech'" in str(refused)


def test_the_lock_of_a_file_leaves_nothing_and_who_opened_it_meanwhile_is_not_fooled(tmp_path: Path) -> None:
    lock_file = tmp_path / "initech.sqlite3.lock"
    config = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "initech.sqlite3")}
    with lent(config) as alias, ExitStack() as first, ExitStack() as second:
        assert SQLite().lock(connections[alias], first)
        SQLite().drop(connections[alias])
        assert lock_file.exists()
        assert not SQLite().lock(connections[alias], second)

    assert not lock_file.exists()
