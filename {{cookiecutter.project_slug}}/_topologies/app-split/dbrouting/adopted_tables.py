"""Tables that somebody else makes: tests have none of them, and make their own from the models."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from django.apps import apps
from django.core.management.color import no_style
from django.db import connections
from django.db.models import Model

from dbrouting.aliases import usable_aliases
from dbrouting.read_only import is_read_only
from dbrouting.routers import home_of_model


def adopted_models(alias: str) -> list[type[Model]]:
    """Models with ``managed = False`` whose rows are on ``alias``."""
    return [
        model
        for model in apps.get_models()
        if not model._meta.managed and not model._meta.proxy and home_of_model(model) == alias
    ]


@contextmanager
def filling(alias: str) -> Iterator[None]:
    """Let a test write to a database that is read-only for the project, as the other system does.

    >>> with filling("legacy_db"):
    ...     CustomerFactory.create(name="Ada")
    """
    with patch.dict(connections[alias].settings_dict, READ_ONLY=False):
        yield


def read_only_aliases() -> list[str]:
    return [alias for alias in usable_aliases() if is_read_only(alias)]


def own_test_databases() -> list[str]:
    """The read-only aliases that tests have a database for; the others are copies of another alias."""
    return [alias for alias in read_only_aliases() if not connections.settings[alias]["TEST"]["MIRROR"]]


def open_for_tests() -> None:
    """Before the test databases are made: Django writes to them, too."""
    for alias in read_only_aliases():
        connections.settings[alias].update(connections.settings[alias]["IN_TESTS"])
    for alias in own_test_databases():
        connections.settings[alias]["READ_ONLY"] = False


def make_adopted_tables() -> None:
    """Once they are made. From here on only ``filling`` writes."""
    for alias in own_test_databases():
        connection = connections[alias]
        with connection.cursor() as cursor:
            names = connection.introspection.table_names(cursor, include_views=True)
        with connection.schema_editor() as editor:
            for model in adopted_models(alias):
                if model._meta.db_table not in names:
                    editor.create_model(model)
        connections.settings[alias]["READ_ONLY"] = True


def empty_adopted_tables() -> None:
    """After a test without a transaction around it: Django empties only the tables that it manages."""
    for alias in own_test_databases():
        operations = connections[alias].ops
        tables = [model._meta.db_table for model in adopted_models(alias)]
        with filling(alias):
            operations.execute_sql_flush(operations.sql_flush(no_style(), tables))
