"""The apps of one project on servers of their own, behind PgBouncer, and one of them with a standby for reports."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from baking import Combination
from processes import manage, run
from servers import PgBouncer, PostgreSQL, Replica, postgresql_cluster

pytestmark = [pytest.mark.xdist_group("pgbouncer"), pytest.mark.once]
STANDBY = 'read_only_database("orders_standby", "ORDERS_STANDBY_URL", copy_of="orders_db")'
# What crosses databases.
TESTS = ("test_outbox", "test_permissions", "test_transactions", "test_read_only")
READ = """
from django.db import connections
from dbrouting.overrides import ReadOnlyOverrideError, in_database
from dbrouting.read_only import ReadOnlyDatabaseError
from orders.models import Order
with in_database("orders_standby"):
    print("orders:", Order.objects.count(), Order.objects.get(pk=Order.objects.first().pk)._state.db)
    try:
        Order.objects.first().delete()
    except ReadOnlyOverrideError:
        print("refused by the block")
try:
    Order.objects.using("orders_standby").update(status="placed")
except ReadOnlyDatabaseError:
    print("refused by the alias")
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PgBouncer, PgBouncer, Replica]]:
    """Pools in front of the orders' server and of the others', and the orders' standby."""
    with postgresql_cluster() as cluster:
        other = PostgreSQL(cluster.primary.keeper, "other", cluster.primary.binaries)
        other.create()
        pools = PgBouncer(cluster.primary), PgBouncer(other)
        for pool in pools:
            pool.create()
        yield *pools, cluster.replicas[0]


def test_each_app_has_a_server_behind_a_pool_and_reports_read_a_standby(
    fresh: Callable[..., Path], servers: tuple[PgBouncer, PgBouncer, Replica]
) -> None:
    orders, others, standby = servers
    project = fresh(**Combination("app-split", "postgresql", "database")._asdict())
    databases = project / "config" / "databases.py"
    text = databases.read_text("utf-8").replace(
        '        "default": ', f'        "orders_standby": {STANDBY},\n        "default": '
    )
    databases.write_text(f"from config.read_only import read_only_database\n{text}", "utf-8")
    variables = {
        "DATABASE_URL": f"{others.url('shop')}?pgbouncer=true",
        "AUTH_DATABASE_URL": f"{others.url('people')}?pgbouncer=true",
        "ORDERS_DATABASE_URL": f"{orders.url('sales')}?pgbouncer=true",
        "ORDERS_STANDBY_URL": standby.url("sales"),
        "DATABASE_ADMIN_URL": "",
    }

    manage(project, "bootstrap", **variables)
    standby.catch_up()

    assert {"shop", "people"} <= set(others.databases())
    assert "sales" not in others.databases()
    manage(project, "check_databases", **variables)
    output = manage(project, "shell", "--verbosity=0", "-c", READ, **variables)
    assert "orders_standby\nrefused by the block\nrefused by the alias" in output
    assert "orders: 0" not in output
    files = (f"tests/{name}.py" for name in TESTS)
    run(project, "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files, **variables)
