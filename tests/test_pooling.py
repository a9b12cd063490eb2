"""Behind PgBouncer in transaction mode a project works, by one switch in its URLs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import Combination
from conftest import Bake
from processes import manage
from servers import PgBouncer, postgresql_cluster

pytestmark = pytest.mark.xdist_group("pgbouncer")
VARIANT = Combination("primary-replica", "postgresql", "database")


@pytest.fixture(scope="module")
def environment(baked: Bake) -> Iterator[dict[str, str]]:
    """A project's, bootstrapped directly; a PgBouncer is in front of the primary and of a standby."""
    with postgresql_cluster() as cluster:
        primary, replica = cluster.primary, cluster.replicas[0]
        direct = {"DATABASE_URL": primary.url("pooled"), "REPLICA_URLS": "", "DATABASE_ADMIN_URL": ""}
        manage(baked(VARIANT), "bootstrap", **direct)
        replica.catch_up()
        bouncers = [PgBouncer(primary), PgBouncer(replica)]
        for bouncer in bouncers:
            bouncer.create()
        urls = [f"{bouncer.url('pooled')}?pgbouncer=true" for bouncer in bouncers]
        yield {"DATABASE_URL": urls[0], "REPLICA_URLS": urls[1], "DATABASE_ADMIN_URL": ""}


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
