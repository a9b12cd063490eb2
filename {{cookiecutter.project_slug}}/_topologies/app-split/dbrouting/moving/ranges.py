"""A table's rows in pieces: ranges of its primary key, each copied and compared by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# The values of a key, column by column.
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table that both databases have. ``columns`` are those that rows bring, with their types in the source."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    # The key as SQL that both databases sort alike.
    order: tuple[str, ...]
    # A number for a row as SQL, the same for the same row on both sides.
    row_digest: str
    # Whether the columns have the same types in the target.
    is_alike: bool


@dataclass
class Range:
    """The keys after ``lower`` up to ``upper``; ``None`` is no limit.

    ``rows`` is ``None`` while the range waits to be copied (again); ``digest`` is what both sides added up to when they
    were compared, and empty once a row of it is known to have been written since.
    """

    table: str
    number: int
    lower: Key | None
    upper: Key | None
    rows: int | None = None
    digest: str = ""

    def __str__(self) -> str:
        def shown(key: Key | None, otherwise: str) -> str:
            return otherwise if key is None else ", ".join(map(str, key))

        return f"{self.table}, keys after {shown(self.lower, 'none')} up to {shown(self.upper, 'the last')}"


@dataclass
class Rows(Range):
    """Single rows instead of a range, picked by a condition of their own."""

    condition: str = ""
    values: Sequence[Any] = ()


def within(order: Sequence[str], span: Range) -> tuple[str, list[Any]]:
    """The SQL condition that picks the range, and its parameters."""
    if isinstance(span, Rows):
        return span.condition, list(span.values)
    conditions: list[str] = []
    values: list[Any] = []
    for comparison, key in ((">", span.lower), ("<=", span.upper)):
        if key is not None:
            conditions.append(f"({', '.join(order)}) {comparison} ({', '.join(['%s'] * len(key))})")
            values += key
    return " AND ".join(conditions) or "1 = 1", values
