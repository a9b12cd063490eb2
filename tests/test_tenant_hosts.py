"""Workers of one server remember whose site is at a host, and each of them learns what another process has changed."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from baking import SQLITE, Combination, variants
from conftest import Bootstrapped
from processes import free_port, manage, serving

SECONDS = 1
WORKERS = 2
# What answers is the site's own; the header says which worker it was.
WSGI = """
import os

from config.wsgi import application as site


def application(environ, start_response):
    def start(status, headers, *rest):
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *rest)

    return site(environ, start)
"""

Ask = Callable[[str], set[int]]


@pytest.fixture
def shop(bootstrapped: Bootstrapped, combination: Combination) -> Path:
    project, _ = bootstrapped(combination)
    return project


@pytest.fixture
def ask(shop: Path, tmp_path: Path) -> Iterator[Ask]:
    """The statuses that all workers answer for a host."""
    (tmp_path / "site_of_worker.py").write_text(WSGI, "utf-8")
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn", "site_of_worker:application", f"--pythonpath={tmp_path}"),
        *(f"--workers={WORKERS}", f"--bind=127.0.0.1:{port}"),
    ]
    with (
        serving(shop, command, port, tmp_path / "server.log", TENANT_LOOKUP_SECONDS=str(SECONDS)) as address,
        httpx.Client(base_url=address, headers={"Connection": "close"}) as browser,
    ):

        def statuses(host: str) -> set[int]:
            answers: dict[str, int] = {}
            for _ in range(500):
                response = browser.get("/accounts/login/", headers={"Host": host})
                answers[response.headers["X-Worker"]] = response.status_code
                if len(answers) == WORKERS:
                    return set(answers.values())
            raise AssertionError(f"Only these workers ever answered: {set(answers)}.")

        yield statuses


@pytest.mark.once
@variants([combination for combination in SQLITE if combination.topology == "subdomain-tenant"])
def test_every_worker_knows_within_seconds_what_a_command_has_changed(shop: Path, ask: Ask) -> None:
    assert (ask("acme.localhost"), ask("tea.localhost"), ask("globex.localhost")) == ({200}, {404}, {200})

    manage(shop, "add_domain", "acme", "tea.localhost")
    manage(shop, "suspend_tenant", "globex")
    time.sleep(SECONDS)
    assert (ask("tea.localhost"), ask("globex.localhost")) == ({200}, {503})

    manage(shop, "remove_domain", "tea.localhost")
    manage(shop, "resume_tenant", "globex")
    time.sleep(SECONDS)
    assert (ask("tea.localhost"), ask("globex.localhost")) == ({404}, {200})
