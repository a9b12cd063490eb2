"""Aliases that ``read_only_database`` made: a write is refused with its model's name, before it leaves the process.

What isn't a write by its first word, such as a function that changes rows, the server's session refuses by itself.
"""

import re
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

WRITE = re.compile(
    r"\s*(?:alter|create|delete|drop|insert|merge|replace|truncate|update)\b"
    r"(?:\s+(?:from|ignore|into|only|or\s+\w+|table))*\s+(?P<table>[\w.\"`]+)",
    re.IGNORECASE,
)


class ReadOnlyDatabaseError(RuntimeError):
    """A write to an alias that is only read."""


def is_read_only(alias: str) -> bool:
    return alias in connections.settings and "READ_ONLY" in connections.settings[alias]


def refuse_writes(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    settings = context["connection"].settings_dict
    if settings.get("READ_ONLY") and (write := WRITE.match(str(sql))):
        raise ReadOnlyDatabaseError(
            f"{written(write['table'])} can't be written: the database {context['connection'].alias!r} "
            f"({settings['VARIABLE']}) is read-only in config/databases.py. Write where the rows come from."
        )
    return execute(sql, params, many, context)


def written(table: str) -> str:
    """The model whose table that is, or the table."""
    name = re.sub(r'["`]', "", table)
    labels = [model._meta.label for model in apps.get_models() if re.sub(r'["`]', "", model._meta.db_table) == name]
    return " or ".join(labels) or f"The table {name}"


def watch(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    is_watched = refuse_writes in connection.execute_wrappers  # which outlive a reconnect
    if is_read_only(connection.alias) and not is_watched:
        connection.execute_wrappers.insert(0, refuse_writes)  # a wrapper in a ``with`` block takes away the last one


connection_created.connect(watch)
