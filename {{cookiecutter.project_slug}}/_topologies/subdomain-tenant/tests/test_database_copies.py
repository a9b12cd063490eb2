"""The test databases of tenants are migrated once and copied, as far as a copy is the same as its own migration."""

import pytest
from django.db import connections
from django.db.migrations import RunSQL
from django.db.migrations.recorder import MigrationRecorder

from dbrouting.database_copies import can_be_copied, kind_of
from dbrouting.migration_guard import DataOperation, data_operations
from dbrouting.tenant_context import CurrentTenant


def kinds(*aliases: str, operation: RunSQL | None = None) -> set[tuple[object, ...]]:
    further = [DataOperation("orders", "0002_clean_up", operation)] if operation else []
    return {kind_of(connections[alias], [*data_operations(), *further]) for alias in aliases}


def moments_of_migration(tenant: CurrentTenant) -> list[object]:
    return list(MigrationRecorder(connections[tenant.alias]).migration_qs.values_list("app", "name", "applied"))


def test_only_databases_with_the_same_tables_are_of_one_kind() -> None:
    assert len(kinds("tenant_acme", "tenant_globex")) == 1
    assert len(kinds("tenant_acme", "default")) == 2


def test_a_data_migration_of_one_tenant_makes_it_another_kind() -> None:
    for_one = RunSQL("DELETE FROM orders_order", hints={"runs_on": "tenant_acme"})
    for_all = RunSQL("DELETE FROM orders_order", hints={"runs_on": "tenant_*"})

    assert len(kinds("tenant_acme", "tenant_globex", operation=for_one)) == 2
    assert len(kinds("tenant_acme", "tenant_globex", operation=for_all)) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("every_database")
def test_the_second_tenant_has_the_migrations_of_the_first(
    acme: CurrentTenant, globex: CurrentTenant, pytestconfig: pytest.Config
) -> None:
    """At the same moments, if its database is a copy; kept ones, and those of some engines, each had their own."""
    copied = can_be_copied(connections[globex.alias]) and not pytestconfig.getoption("reuse_db")

    assert moments_of_migration(acme)
    assert moments_of_migration(acme) == moments_of_migration(globex) or not copied
