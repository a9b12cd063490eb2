"""Whether tables that somebody else makes still are what the models say of them."""

from django.db import connections
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from dbrouting.adopted_tables import adopted_models
from dbrouting.inspection.findings import MANAGE, Finding, Findings, listed
from dbrouting.provisioning import quoted
from dbrouting.read_only import is_read_only


def differences_of_adopted_tables(alias: str) -> Findings:
    if not is_read_only(alias):
        return
    with connections[alias].cursor() as cursor:
        names = cursor.db.introspection.table_names(cursor, include_views=True)
        for model in adopted_models(alias):
            if model._meta.db_table in names:
                yield from differences_of_columns(model, cursor)
            else:
                what = f"{model._meta.label} has no table {model._meta.db_table} any more: every query fails."
                yield Finding("error", f"{what} Its owner renamed or dropped it, or hides it from this user.")


def differences_of_columns(model: type[Model], cursor: CursorWrapper) -> Findings:
    """A column that is too many costs nothing, unless it is worth knowing."""
    table = model._meta.db_table
    cursor.execute(f"SELECT * FROM {quoted(cursor.db, table)} WHERE 1 = 0")
    present = {column[0].lower() for column in cursor.description or ()}
    wanted = {field.column.lower() for field in model._meta.local_concrete_fields if field.column}
    show = (f"{MANAGE} inspectdb {table} --database={cursor.db.alias}",)
    if missing := wanted - present:
        what = f"{table} lacks columns of {model._meta.label}, so that its queries fail: {listed(missing)}."
        yield Finding("error", what, show)
    if unknown := present - wanted:
        yield Finding("info", f"{table} has columns that {model._meta.label} lacks: {listed(unknown)}.", show)
