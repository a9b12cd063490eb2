"""Copying an app's rows to the database where the map has put the app; nothing is taken away from the old one."""

from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model
from django.db.models.sql import InsertQuery
from django.db.transaction import atomic

from dbrouting.aliases import usable_aliases
from dbrouting.provisioning import quoted
from dbrouting.routers import home_of

CHUNK = 500

# The last key that a table has given out: no later row may get it, even if its own row is gone. (MySQL, unlike MariaDB,
# remembers the answer for a day: information_schema_stats_expiry. New rows still come after all that are there.)
LAST_KEY = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = %(table)s",
    "postgresql": "SELECT pg_sequence_last_value(pg_get_serial_sequence(%(quoted)s, %(column)s)::regclass)",
    "mysql": (
        "SELECT auto_increment - 1 FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name = %(table)s"
    ),
}
COUNT_ON = {
    "sqlite": [
        "DELETE FROM sqlite_sequence WHERE name = %(table)s",
        "INSERT INTO sqlite_sequence (name, seq) VALUES (%(table)s, %(last)s)",
    ],
    "postgresql": ["SELECT setval(pg_get_serial_sequence(%(quoted)s, %(column)s), %(last)s)"],
    "mysql": ["ALTER TABLE {quoted} AUTO_INCREMENT = {next}"],
}


class CopyError(Exception):
    """The app can't be copied; the message says why, and what to do. Nothing was changed."""


def copy_app(app_label: str, source: str) -> dict[str, int]:
    """Copy all rows of the app from ``source`` to its home, in one transaction there; gives table → number of rows.

    Each value stays as it is, ``auto_now`` and the keys too, and no signal is sent. Nobody may write to the app
    meanwhile: that a row was changed is only noticed if it was there to be compared.
    """
    target = home_of(app_label)
    require_two(app_label, source, target)
    models = tables_of(app_label)
    try:
        require_empty(models, target)
        with atomic(using=target), connections[target].constraint_checks_disabled():
            counts = {model._meta.db_table: copy_rows(model, source, target) for model in models}
            connections[target].check_constraints(table_names=list(counts))
        for model in models:
            keep_counting(model, connections[source], connections[target])
    except DatabaseError as error:
        raise CopyError(
            f"{app_label} can't be copied from {source!r} to {target!r}: {' '.join(str(error).split())}\n"
            "Both must have the tables of the same migrations. Run: python manage.py migrate"
        ) from error
    return counts


def require_two(app_label: str, source: str, target: str) -> None:
    if source not in usable_aliases():
        raise CopyError(f"No database is called {source!r}. There are: {', '.join(usable_aliases())}.")
    if source == target:
        raise CopyError(
            f"{app_label} lives on {source!r}. Map it to its new database first, in DATABASE_APPS_MAPPING in "
            "config/databases.py, then run: python manage.py migrate"
        )


def require_empty(models: list[type[Model]], target: str) -> None:
    for model in models:
        if model._base_manager.using(target).exists():
            raise CopyError(
                f"{model._meta.db_table} on {target!r} has rows already. They would be mixed with those that are "
                "copied: remove them first, if they may go."
            )


def tables_of(app_label: str) -> list[type[Model]]:
    """The models with a table of their own, those between two ends of a many-to-many relation too."""
    models = apps.get_app_config(app_label).get_models(include_auto_created=True)
    return [model for model in models if model._meta.managed and not model._meta.proxy]


def copy_rows(model: type[Model], source: str, target: str) -> int:
    """Past the model's manager, which may hide rows, and its fields, which may set values."""
    rows = model._base_manager.using(source).order_by("pk").iterator(chunk_size=CHUNK)
    fields = [field for field in model._meta.local_concrete_fields if not field.generated]
    count = 0
    while chunk := list(islice(rows, size_of_a_chunk(fields, connections[target]))):
        query = InsertQuery(model)
        query.insert_values(fields, chunk, raw=True)
        query.get_compiler(using=target).execute_sql()
        count += len(chunk)
    if any(old != new for old, new in zip_longest(values(model, source), values(model, target))):
        raise CopyError(f"{model._meta.db_table} changed while it was copied. Stop whatever writes to it, and repeat.")
    return count


def size_of_a_chunk(fields: "list[Field[Any, Any]]", connection: BaseDatabaseWrapper) -> int:
    return connection.ops.bulk_batch_size(fields, [None] * CHUNK)


def values(model: type[Model], alias: str) -> Iterator[tuple[Any, ...]]:
    return model._base_manager.using(alias).order_by("pk").values_list().iterator(chunk_size=CHUNK)


def keep_counting(model: type[Model], source: BaseDatabaseWrapper, target: BaseDatabaseWrapper) -> None:
    """Let new rows get keys that the old table never gave out."""
    field = model._meta.auto_field
    if field is None or field not in model._meta.local_fields:
        return
    table = model._meta.db_table
    names = {"table": table, "quoted": quoted(source, table), "column": field.column}
    with source.cursor() as cursor:
        cursor.execute(LAST_KEY[source.vendor], names)
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return
    with target.cursor() as cursor:
        for statement in COUNT_ON[target.vendor]:
            cursor.execute(statement.format(**names, next=row[0] + 1), {**names, "last": row[0]})
