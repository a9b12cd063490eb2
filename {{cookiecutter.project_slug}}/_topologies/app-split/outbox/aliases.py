"""Where outboxes are, and may be."""

from django.db import connections

from dbrouting.aliases import is_somebody_elses, usable_aliases
from dbrouting.provisioning import is_missing_file
from dbrouting.routers import holds_tables
from outbox.models import Message


def outboxes() -> list[str]:
    """The aliases that have one; a database error if one of them can't be asked."""
    return [alias for alias in possible_outboxes() if has_outbox(alias)]


def possible_outboxes() -> list[str]:
    """Those that have to be asked whether they have one; asking for a file that isn't there would make it."""
    return [
        alias
        for alias in usable_aliases()
        if not is_somebody_elses(alias) and (holds_tables(alias) or not is_missing_file(connections[alias]))
    ]


def has_outbox(alias: str) -> bool:
    """Where every app has moved away, what they wrote still waits; a database that never had one may be anybody's."""
    return holds_tables(alias) or has_tables(alias)


def has_tables(alias: str) -> bool:
    return Message._meta.db_table in connections[alias].introspection.table_names()
