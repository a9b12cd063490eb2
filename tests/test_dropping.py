"""A database is dropped whatever the server itself is doing in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import Combination, variants
from conftest import Bake
from processes import manage
from servers import USER, Cluster, PostgreSQL

pytestmark = pytest.mark.once

DROP = """
from django.db import connections
from dbrouting.provisioning import drop_database
drop_database(connections["default"])
"""
AT_WORK = "SELECT pid FROM pg_stat_activity WHERE datname = 'vacuumed' AND backend_type = 'autovacuum worker'"


@pytest.fixture
def vacuumed(postgresql: Cluster) -> Iterator[PostgreSQL]:
    """A server with a database of the project's user, in which autovacuum has been at work for a while, and goes on."""
    server = postgresql.primary
    server.execute(f"CREATE DATABASE vacuumed OWNER {USER}")
    for statement in (
        "CREATE TABLE note WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, "
        "autovacuum_vacuum_threshold = 1) AS SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n",
        "DELETE FROM note",
        "ALTER SYSTEM SET autovacuum_naptime = 1",
        "SELECT pg_reload_conf()",
    ):
        server.execute(statement, database="vacuumed")
    server.wait_until(lambda: bool(server.execute(AT_WORK)), "begin to vacuum")
    yield server
    server.execute("ALTER SYSTEM RESET autovacuum_naptime")
    server.execute("SELECT pg_reload_conf()")
    server.execute("DROP DATABASE IF EXISTS vacuumed WITH (FORCE)")


@variants([Combination("app-split", "postgresql", "database")])
def test_a_database_is_dropped_while_autovacuum_is_at_work_there(
    baked: Bake, vacuumed: PostgreSQL, combination: Combination
) -> None:
    project: Path = baked(combination)

    manage(project, "shell", "-c", DROP, DATABASE_URL=vacuumed.url("vacuumed"))

    assert "vacuumed" not in vacuumed.databases()
