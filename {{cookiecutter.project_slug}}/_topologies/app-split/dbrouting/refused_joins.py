"""Whatever road a query took into another database, its error says so: "no such table" alone helps nobody.

Nothing is asked of a query that a database accepts. One that finds a table of that name beside it is accepted, too: old
tables that nobody has dropped answer with what they had.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.db import DatabaseError, OperationalError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Model

from dbrouting.references import CrossDatabaseJoinError
from dbrouting.routers import OUTBOX, home_of_model

QUERY = re.compile(r"[\s(]*(?:delete|insert|select|update|with)\b", re.IGNORECASE)
NAME = re.compile(r"[\w$]+")
UNDEFINED_TABLE = "42P01"  # PostgreSQL's SQLSTATE
NO_SUCH_TABLE = 1146  # MySQL's and MariaDB's number
IS_ABOUT_A_TABLE: dict[str, Callable[[DatabaseError], bool]] = {
    "sqlite": lambda error: str(error).startswith("no such table"),
    "postgresql": lambda error: getattr(error.__cause__, "sqlstate", None) == UNDEFINED_TABLE,
    "mysql": lambda error: error.args[:1] == (NO_SUCH_TABLE,),
}


def explain_joins(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    try:
        return execute(sql, params, many, context)
    except (OperationalError, ProgrammingError) as error:
        connection = context["connection"]
        if QUERY.match(str(sql)) and IS_ABOUT_A_TABLE[connection.vendor](error):
            message, *_ = str(error).splitlines()  # PostgreSQL quotes the query below
            away = [model for model in models_named(message) if is_away(model, connection.alias)]
            if explanation := next(explanations(away, str(sql), connection.alias), None):
                raise CrossDatabaseJoinError(explanation) from error
            for model in away:
                error.add_note(
                    f"{model._meta.label} lives on {home_of_model(model)!r}, and was asked for on "
                    f"{connection.alias!r}: by .using(), in_database() or a generic foreign key, which looks beside "
                    "the row that has it."
                )
        raise


def is_away(model: type[Model], alias: str) -> bool:
    return model._meta.app_label != OUTBOX and home_of_model(model) != alias


def explanations(away: list[type[Model]], sql: str, alias: str) -> Iterator[str]:
    """None of a query that is in the wrong database as a whole."""
    for lacking in away:
        others = [model for model in models_named(sql) if home_of_model(model) != home_of_model(lacking)]
        if others:
            yield (
                f"A query on {alias!r}, among {labels(others)}, looks into {lacking._meta.label}, on "
                f"{home_of_model(lacking)!r}: no database has the rows of both. First get the keys from the one, then "
                "ask the other: pk__in=list(keys) in place of a query set, Exists() or Subquery()."
            )


def models_named(text: str) -> list[type[Model]]:
    names = set(NAME.findall(text))
    models = apps.get_models(include_auto_created=True)
    return [model for model in models if not model._meta.proxy and NAME.findall(model._meta.db_table)[-1] in names]


def labels(models: list[type[Model]]) -> str:
    return " and ".join(model._meta.label for model in models)


def watch(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    if explain_joins not in connection.execute_wrappers:  # they outlive a reconnect
        connection.execute_wrappers.insert(0, explain_joins)  # a wrapper in a ``with`` block takes away the last one


connection_created.connect(watch)
