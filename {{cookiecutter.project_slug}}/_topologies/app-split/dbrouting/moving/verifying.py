"""Whether a side still has the rows that both had when they were compared."""

from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.moving.move import Move
from dbrouting.moving.ranges import Range


def changed_since(move: Move, connection: BaseDatabaseWrapper) -> list[Range]:
    """The ranges that are others now."""
    return [
        span
        for table in move.tables()
        for span in move.ledger.ranges(table.name)
        if move.engine.digest(connection, table, span) != span.digest
    ]
