"""`testserver` serves a fixture from test databases, one for each of the project's, whose own rows nobody touches."""

import sys
from pathlib import Path

import httpx
import pytest
from baking import COMBINATIONS, SQLITE, Combination, variants
from conftest import Bootstrapped
from databases import OnServers
from processes import free_port, manage, serving

FOUND = [*SQLITE, *(combination for combination in COMBINATIONS if combination.tenant_isolation == "schema")]


@pytest.mark.once
@variants(FOUND)
def test_the_rows_of_a_fixture_are_served(bootstrapped: Bootstrapped, combination: Combination, tmp_path: Path) -> None:
    project, databases = bootstrapped(combination)
    fixture, port = tmp_path / "everything.json", free_port()
    manage(project, "dumpdata", "--output", str(fixture), **databases.environment)
    fixture.write_text(fixture.read_text("utf-8").replace("Sencha", "Oolong"), "utf-8")
    before = databases.digests()
    hosts = ["acme.localhost", "globex.localhost"] if combination.topology == "subdomain-tenant" else ["localhost"]

    command = [sys.executable, "manage.py", "testserver", str(fixture), "--addrport", str(port), "--no-input"]
    with serving(project, command, port, tmp_path / "server.log", **databases.environment) as address:
        for host in hosts:
            page = httpx.get(address, headers={"Host": host})
            assert (page.status_code, "Oolong" in page.text) == (200, True)

    assert databases.digests() == before
    if isinstance(databases, OnServers):
        assert not [
            name for name in databases.cluster.primary.databases() if name.startswith(f"test_{databases.label}_")
        ]
