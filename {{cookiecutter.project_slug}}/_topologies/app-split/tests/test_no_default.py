"""An empty ``default`` is legal once every app is mapped: checks, migrate, the site and the tests all work."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.conf import settings
from other_settings import dropped_afterwards, environment_of, fresh_url, run_python

from dbrouting.aliases import usable_aliases

Run = Callable[..., str]


def others() -> list[str]:
    """The databases that are left without ``default``."""
    return [alias for alias in usable_aliases() if alias != "default"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[dict[str, str]]:
    """The project's environment with fresh databases and the settings of ``no_default``."""
    folder = tmp_path_factory.mktemp("no_default")
    fresh = {alias: fresh_url(alias, "no_default", folder / alias) for alias in others()}
    urls = {settings.DATABASES[alias]["VARIABLE"]: url for alias, url in fresh.items()}
    with django_db_blocker.unblock(), ExitStack() as stack:
        for url in fresh.values():
            stack.enter_context(dropped_afterwards(url))
        yield environment_of("no_default", urls)


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    return partial(run_python, environment)


@pytest.fixture(scope="module")
def bootstrapped(run: Run) -> str:
    """What ``bootstrap`` printed when it made and filled the databases."""
    return run("manage.py", "bootstrap")


def test_bootstrap_makes_migrates_and_fills_the_mapped_databases(bootstrapped: str) -> None:
    assert "Database auth_db (" in bootstrapped
    assert "Database orders_db (" in bootstrapped
    assert "Database default" not in bootstrapped


@pytest.mark.usefixtures("bootstrapped")
def test_the_checks_pass(run: Run) -> None:
    run("manage.py", "check", "--fail-level=WARNING")


@pytest.mark.usefixtures("bootstrapped")
def test_djangos_commands_do_without_it(run: Run, tmp_path: Path) -> None:
    code = f"""
from django.core.management import call_command as call
from accounts.models import User
from orders.models import Order

def count():
    return User.objects.count(), Order.objects.count()

before = count()
call("dumpdata", all=True, output={str(tmp_path / "everything.json")!r})
call("flush", "--bare", "--no-input")
flushed = count()
call("loaddata", {str(tmp_path / "everything.json")!r})
assert 0 not in before and flushed == (0, 0) and count() == before, (before, flushed, count())
call("dbshell")
"""
    choices = ", ".join(f"--database={alias}" for alias in others())
    with pytest.raises(AssertionError, match=rf"Which database\? Add one of: {choices}\."):
        run("manage.py", "shell", "-c", code)


@pytest.mark.usefixtures("bootstrapped")
def test_the_site_runs(environment: dict[str, str]) -> None:
    with runserver(environment) as address, urlopen(address) as page:
        assert page.status == 200
        assert "orders_db" in page.read().decode()


def test_the_suite_passes(run: Run) -> None:
    """With the shipped plugin, which leaves the empty alias out: it has no transactions to roll back."""
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_pages.py", "tests/test_testing.py")

    assert " passed" in output


@contextmanager
def runserver(environment: dict[str, str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "manage.py", "runserver", "--noreload", str(port)]
    server = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment)
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=10)


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        assert server.poll() is None, "The server stopped."
        try:
            urlopen(address).close()
            return
        except URLError:
            time.sleep(0.05)
    raise AssertionError("The server didn't answer in time.")
