"""Test databases that hold the same tables are migrated once: the others are copies of the first.

Every migration is run for each database, and takes as long where it makes no table: what it costs is Python's work, so
threads would not make it faster. Copying does, for as many databases as there are.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from sqlite3 import connect
from typing import Any
from unittest.mock import patch

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.creation import BaseDatabaseCreation

from dbrouting.aliases import apps_on
from dbrouting.mapping import alias_matches
from dbrouting.migration_guard import DataOperation, data_operations
from dbrouting.provisioning import close_pool


@contextmanager
def copied_test_databases() -> Iterator[None]:
    """Let Django make test databases as copies in the block, wherever that gives the same as migrating.

    Whatever a copy should lack is added: Django migrates it too, and finds next to nothing to do. Databases that are
    kept from run to run (``--reuse-db``) are left to Django.
    """
    create: Callable[..., str] = BaseDatabaseCreation.create_test_db
    operations = list(data_operations())
    made: dict[tuple[object, ...], BaseDatabaseWrapper] = {}

    def create_or_copy(creation: BaseDatabaseCreation, *args: Any, keepdb: bool = False, **kwargs: Any) -> str:
        target = creation.connection
        source = made.setdefault(kind_of(target, operations), target)
        is_copy = source is not target and can_be_copied(target) and not keepdb
        with as_copy_of(source, target) if is_copy else nullcontext():
            return create(creation, *args, keepdb=keepdb, **kwargs)

    with patch.object(BaseDatabaseCreation, "create_test_db", create_or_copy):
        yield


def kind_of(connection: BaseDatabaseWrapper, operations: list[DataOperation]) -> tuple[object, ...]:
    """What two databases must have in common for one to be a copy of the other: server, tables, data migrations."""
    alias, config = connection.alias, connection.settings_dict
    runs = [alias_matches(alias, operation.patterns) for operation in operations]
    return (*(config[key] for key in ("ENGINE", "HOST", "PORT", "USER")), *apps_on(alias), *runs)


def can_be_copied(connection: BaseDatabaseWrapper) -> bool:
    """MySQL and MariaDB have no copies to offer; nor have backends that bring along how their databases are made."""
    return connection.vendor in {"sqlite", "postgresql"} and not hasattr(connection, "provisioner")


@contextmanager
def as_copy_of(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper) -> Iterator[None]:
    """Let what Django makes for ``target`` in the block begin as a copy of ``source``."""
    if target.vendor == "postgresql":
        source.close()  # a template that somebody is connected to is refused
        close_pool(source)
        with patch.dict(target.settings_dict["TEST"], TEMPLATE=source.settings_dict["NAME"]):
            yield
    else:
        name = target.creation._get_test_db_name()  # type: ignore[attr-defined]  # Django's own, without a stub
        with closing(connect(name, uri=True)) as copy:  # one in memory lasts while somebody is connected to it
            source.connection.backup(copy)
            yield
