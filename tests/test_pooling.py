"""Behind PgBouncer in transaction mode a project works, by one switch in its URLs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import Combination
from conftest import Bake
from processes import manage, run
from servers import PgBouncer, postgresql_cluster

pytestmark = pytest.mark.xdist_group("pgbouncer")
VARIANT = Combination("primary-replica", "postgresql", "database")


# What needs start-up options, or one session from beginning to end: these are what PgBouncer does not have.
NEEDS_A_SESSION = (
    "tests/test_engine.py::test_a_dead_connection_is_replaced_before_the_next_request_uses_it",
    "tests/test_engine.py::test_a_read_only_session_refuses_to_write_and_keeps_its_own_options",
    "tests/test_engine.py::test_no_time_limit_ends_the_lock_of_migrate",
    "tests/test_engine.py::test_the_lock_of_migrate_belongs_to_a_transaction_that_holds_no_snapshot",
    "tests/test_positions.py::test_what_a_connection_has_replayed_is_remembered",
)


@pytest.fixture(scope="module")
def environment(baked: Bake) -> Iterator[dict[str, str]]:
    """A project's, which has never met its servers but through the PgBouncers in front of them."""
    with postgresql_cluster() as cluster:
        bouncers = [PgBouncer(server) for server in (cluster.primary, *cluster.replicas)]
        for bouncer in bouncers:
            bouncer.create()
        primary, *replicas = (f"{bouncer.url('pooled')}?pgbouncer=true" for bouncer in bouncers)
        variables = {"DATABASE_URL": primary, "REPLICA_URLS": " ".join(replicas), "DATABASE_ADMIN_URL": ""}
        manage(baked(VARIANT), "bootstrap", **variables)
        for replica in cluster.replicas:
            replica.catch_up()
        yield variables


@pytest.mark.once
def test_the_suite_passes(baked: Bake, environment: dict[str, str]) -> None:
    words = ("-q", "-p", "no:cacheprovider", *(f"--deselect={name}" for name in NEEDS_A_SESSION))
    output = run(baked(VARIANT), "python", "-m", "pytest", *words, seconds=300, **environment)
    assert f"{len(NEEDS_A_SESSION)} deselected" in output
    assert "being accessed by other users" not in output, "a test database was left behind"


def test_a_second_migrate_is_refused_and_one_that_was_killed_lets_go(baked: Bake, environment: dict[str, str]) -> None:
    script = """
import os
from django.core.management import CommandError
from django.db import connections
from dbrouting.provisioning import migration_lock
with migration_lock(connections["default"]):
    try:
        with migration_lock(connections["default"]):
            print("not refused")
    except CommandError as error:
        print(error, flush=True)
        os._exit(0)
"""
    assert "Another `migrate` is at work" in shell(baked(VARIANT), script, environment)
    assert "No migrations to apply" in manage(baked(VARIANT), "migrate", **environment)


def shell(project: Path, script: str, environment: dict[str, str]) -> str:
    return manage(project, "shell", "--no-imports", "-c", script, **environment)


def test_rows_are_iterated_while_other_clients_are_at_work(baked: Bake, environment: dict[str, str]) -> None:
    """A cursor on the server would be looked for in another session: the one that had it is busy."""
    script = """
from django.db import connections
from catalogue.models import Product
rows = Product.objects.using("default").order_by("pk").iterator(chunk_size=1)
seen = [next(rows).pk]
other = connections["default"].copy()
other.set_autocommit(False)
other.cursor().execute("SELECT 1")
seen += [row.pk for row in rows]
other.rollback()
other.close()
assert len(seen) > 1
assert seen == sorted(set(Product.objects.using("default").values_list("pk", flat=True)))
print("all seen")
"""
    assert "all seen" in shell(baked(VARIANT), script, environment)


def test_replicas_are_read_and_refuse_writes(baked: Bake, environment: dict[str, str]) -> None:
    script = """
from django.db import DatabaseError, connections
connection = connections["replica1"]
connection.ensure_connection()
connection.execute_wrappers.clear()
with connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM catalogue_product")
    print("rows:", cursor.fetchone()[0])
    try:
        cursor.execute("DELETE FROM catalogue_product")
    except DatabaseError as error:
        print("refused:", error)
"""
    output = shell(baked(VARIANT), script, environment)
    assert "rows: 0" not in output
    assert "refused: cannot execute DELETE in a read-only transaction" in output
