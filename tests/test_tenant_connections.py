"""A process's connections to its tenants, counted by the servers: behind PgBouncer, and within a budget."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import Combination
from conftest import Bake
from processes import manage, run
from servers import Cluster, PgBouncer, postgresql_cluster

pytestmark = [pytest.mark.xdist_group("pgbouncer"), pytest.mark.once]
DATABASE, SCHEMA = (Combination("subdomain-tenant", "postgresql", isolation) for isolation in ("database", "schema"))

# The tests of requests and routing: the others ask nothing of a session that these don't.
SUITE = ("test_tenant_requests", "test_tenant_routing", "test_routing_cases", "test_streaming", "test_sql")

VISIT = """
from concurrent.futures import ThreadPoolExecutor

from django.core.signals import request_finished, request_started
from django.db import connections

def visit(thread):
    for turn in range({turns}):
        number = (turn * 7 + thread * 13) % {tenants}
        request_started.send(sender=None, environ={{}})
        with connections[f"tenant_t{{number}}"].cursor() as cursor:
            cursor.execute("SELECT number FROM note")
            assert cursor.fetchone() == (number,), number
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'budget'")
            counts.append(cursor.fetchone()[0])
        request_finished.send(sender=None)

counts = []
with ThreadPoolExecutor(16) as pool:
    list(pool.map(visit, range(16)))
print("at most", max(counts))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def bouncer(cluster: Cluster) -> PgBouncer:
    bouncer = PgBouncer(cluster.primary)
    bouncer.create()
    return bouncer


@pytest.mark.parametrize("combination", [DATABASE, SCHEMA], ids=str)
def test_tenants_keep_apart_behind_pgbouncer(baked: Bake, bouncer: PgBouncer, combination: Combination) -> None:
    project, label = baked(combination), combination.tenant_isolation
    pooled = {
        "DATABASE_URL": f"{bouncer.url(f'pooled_{label}')}?pgbouncer=true",
        "DATABASE_ADMIN_URL": "",
        "TENANT_DATABASE_PREFIX": f"pooled_{label}",
    }
    manage(project, "bootstrap", **pooled)
    run(
        *(project, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *(f"tests/{name}.py" for name in SUITE),
        seconds=300,
        **pooled,
    )


def test_a_pgbouncer_that_the_url_does_not_mention_is_refused(baked: Bake, bouncer: PgBouncer) -> None:
    script = """
from django.db import OperationalError, connections
try:
    connections["tenant_acme"].ensure_connection()
except OperationalError as error:
    print("refused:", error)
"""
    silent = {"DATABASE_URL": bouncer.url("pooled_schema"), "TENANT_DATABASE_PREFIX": "pooled_schema"}
    assert "refused:" in shell(baked(SCHEMA), script, silent)


def test_a_path_that_is_set_for_the_session_is_another_clients_behind_pgbouncer(bouncer: PgBouncer) -> None:
    """The control: what would go wrong if the schemas' backend did it that way."""
    bouncer.execute("CREATE SCHEMA IF NOT EXISTS left_behind", database="postgres")
    bouncer.execute("SET search_path TO left_behind", database="postgres")

    found = {path for _ in range(5) for (path,) in bouncer.execute("SHOW search_path", database="postgres")}

    assert "left_behind" in found


def test_a_thousand_schemas_need_no_more_sessions_than_the_budget(baked: Bake, cluster: Cluster) -> None:
    server = cluster.primary
    server.execute("CREATE DATABASE thousand OWNER shop")
    server.execute(
        "DO $$ BEGIN FOR n IN 0..999 LOOP EXECUTE format('CREATE SCHEMA th_t%1$s; GRANT USAGE ON SCHEMA th_t%1$s TO "
        "shop; CREATE TABLE th_t%1$s.note AS SELECT %1$s AS number; GRANT SELECT ON th_t%1$s.note TO shop', n); "
        "END LOOP; END $$",
        database="thousand",
    )
    script = VISIT.format(turns=200, tenants=1000)
    url = f"{server.url('thousand')}?application_name=budget"
    within = {"DATABASE_URL": url, "TENANT_DATABASE_PREFIX": "th", "TENANT_MAX_CONNECTIONS": "8"}

    assert "at most 8" in shell(baked(SCHEMA), script, within)


def test_sixty_databases_need_no_more_sessions_than_the_budget(baked: Bake, cluster: Cluster) -> None:
    server = cluster.primary
    for number in range(60):
        name = f"db_t{number}"
        server.execute(f"CREATE DATABASE {name} OWNER shop STRATEGY file_copy")
        server.execute(f"CREATE TABLE note AS SELECT {number} AS number", database=name)
        server.execute("GRANT SELECT ON note TO shop", database=name)
    script = VISIT.format(turns=20, tenants=60)
    url = f"{server.url('postgres')}?application_name=budget"
    within = {"DATABASE_URL": url, "TENANT_DATABASE_PREFIX": "db", "TENANT_MAX_CONNECTIONS": "8"}

    assert "at most 8" in shell(baked(DATABASE), script, within)


def shell(project: Path, script: str, environment: dict[str, str]) -> str:
    return manage(project, "shell", "--no-imports", "-c", script, **environment)
