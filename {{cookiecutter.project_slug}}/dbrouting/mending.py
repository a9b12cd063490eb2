"""Make databases and records of migrations agree again: ``check_databases`` says what to call, and when."""

from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from dbrouting.inspection.histories import Histories
from dbrouting.provisioning import quoted


def create_tables(alias: str, *names: str) -> None:
    """Make these tables, empty, as the applied migrations describe them; no record changes."""
    models = [described(alias, name) for name in names]
    with connections[alias].schema_editor() as editor:
        for model in models:
            # A throw-away class: the table behind such a field may be there, and if not it has a name of its own here.
            model._meta.local_many_to_many = []
            editor.create_model(model)


def add_columns(alias: str, table: str, *names: str) -> None:
    """Add these columns, with their defaults, as the applied migrations describe them."""
    model = described(alias, table)
    added = [field for field in model._meta.local_fields if field.column in names]
    present = [field for field in model._meta.local_fields if field not in added]
    with connections[alias].schema_editor() as editor:
        for number, field in enumerate(added):
            # SQLite copies the table with all the columns that the class has.
            model._meta.local_fields = [*present, *added[:number]]
            model._meta._expire_cache()  # type: ignore[attr-defined]  # Django's own, without a stub
            editor.add_field(model, field)


def drop_tables(alias: str, *names: str) -> None:
    """Remove these tables with all their rows, and the constraints of others that refer to them; no record changes."""
    connection = connections[alias]
    with connection.constraint_checks_disabled(), connection.schema_editor() as editor:
        for name in names:
            editor.execute(editor.sql_delete_table % {"table": quoted(connection, name)})


def record(alias: str, app_label: str, migration: str) -> None:
    """Record as applied what is there."""
    MigrationRecorder(connections[alias]).record_applied(app_label, migration)


def forget(alias: str, app_label: str, migration: str) -> None:
    """Remove the record of a migration, and nothing that it made."""
    MigrationRecorder(connections[alias]).record_unapplied(app_label, migration)


def described(alias: str, table: str) -> type[Model]:
    """A new historical model, of this call alone."""
    connection = connections[alias]
    tables = Histories().of(connection).tables(connection)
    if table not in tables:
        raise CommandError(f"No migration that is applied on {alias!r} describes a table {table!r} there.")
    return tables[table]
