"""What is lost when a tenant is deleted, told to those who are about to do it."""

from collections.abc import Iterator
from pathlib import Path

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.template.defaultfilters import pluralize

from dbrouting.aliases import let_go
from dbrouting.per_tenant.files import folder_of
from dbrouting.provisioning import name_of, quoted
from tenants.models import Tenant
from tenants.places import place_exists
from tenants.services import hosts_of


def losses_of(tenant: Tenant) -> Iterator[str]:
    """A line for each kind of thing."""
    connection = connections[tenant.alias]
    if place_exists(tenant.alias):
        try:
            counts = rows_in_tables(connection)
        finally:
            let_go(tenant.alias)
        rows = sum(counts)
        yield f"{name_of(connection)}: {len(counts)} table{pluralize(len(counts))}, {rows} row{pluralize(rows)}"
    uploads = sum(path.is_file() for path in Path(folder_of(str(tenant.id))).rglob("*"))
    yield f"{uploads} uploaded file{pluralize(uploads)}"
    yield f"the hosts {hosts_of(tenant)}"


def rows_in_tables(connection: BaseDatabaseWrapper) -> list[int]:
    counts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT COUNT(*) FROM {quoted(connection, table)}")
            counts.append(cursor.fetchone()[0])
    return counts
