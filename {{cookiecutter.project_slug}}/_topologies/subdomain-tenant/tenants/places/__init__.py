"""The place of a tenant's rows, a database or a schema: make it with its tables, copy a live one, drop it.

What is made may be half made when one of these raises or the process is killed: whoever calls drops it then.
"""

from django.apps import apps
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from dbrouting.provisioning import create_database, database_exists, drop_database
from dbrouting.tenant_names import key_of
from tenants.errors import TenantError
from tenants.migrating.state import records_of_new, remember
from tenants.models import Tenant
from tenants.places.blueprints import make_from_blueprint
from tenants.places.isolation import kind_of_place


def place_exists(alias: str) -> bool:
    """Whether anything is there, finished or not."""
    return database_exists(connections[alias])


def make_place(alias: str) -> None:
    """Make what ``alias`` leads to, with the tables and rows that ``migrate`` would leave there.

    There must be nothing yet.
    """
    connection = connections[alias]
    if make_from_blueprint(connection, kind_of_place()):
        remember({records_of_new(): [key_of(alias)]})
        return
    create_database(connection)
    call_command("migrate", database=alias, interactive=False, verbosity=0)


def drop_place(alias: str) -> None:
    """Remove what ``alias`` leads to, for good, and end the sessions at work there; there may be nothing."""
    drop_database(connections[alias])


def copy_place(source_alias: str, target_alias: str) -> None:
    """Make what ``target_alias`` leads to, with the rows that the source has at one moment, but for its sessions.

    Others go on reading and writing there. Raises TenantError if the source isn't as the migrations of this code make
    it: its rows would not fit.
    """
    source, target = connections[source_alias], connections[target_alias]
    require_migrated(source)
    make_place(target_alias)
    kind_of_place().copy_rows(source, target, without=session_tables())


def require_migrated(connection: BaseDatabaseWrapper) -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        tenant = Tenant.objects.filter(key=key_of(connection.alias)).first()
        name = tenant.name if tenant else key_of(connection.alias)
        raise TenantError(
            f"{connection.alias!r} lacks migrations of this code, and can't be copied before it has them. Run: python "
            f"manage.py migrate_tenants --tenant {name}"
        )


def session_tables() -> list[str]:
    """A copy's visitors are not logged in because the original's are."""
    return [model._meta.db_table for model in apps.get_models() if issubclass(model, AbstractBaseSession)]
