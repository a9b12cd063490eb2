"""The place of a tenant's rows, a database or a schema: make it with its tables, copy a live one, drop it.

What is made may be half made when one of these raises or the process is killed: whoever calls drops it then.
"""

from django.core.management import call_command
from django.db import connections

from dbrouting.provisioning import create_database, database_exists, drop_database


def place_exists(alias: str) -> bool:
    """Whether anything is there, finished or not."""
    return database_exists(connections[alias])


def make_place(alias: str) -> None:
    """Make what ``alias`` leads to, with the tables and rows that ``migrate`` would leave there."""
    create_database(connections[alias])
    call_command("migrate", database=alias, interactive=False, verbosity=0)


def drop_place(alias: str) -> None:
    """Remove what ``alias`` leads to, for good; there may be nothing."""
    drop_database(connections[alias])


def copy_place(source_alias: str, target_alias: str) -> None:
    """Make what ``target_alias`` leads to, with the rows that the source has, but for its sessions."""
    make_place(target_alias)
    raise NotImplementedError("rows are not copied yet")
