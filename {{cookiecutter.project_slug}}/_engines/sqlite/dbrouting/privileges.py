"""SQLite has no users, so there is nothing to grant; `grant_sql` says so before it asks for a script."""

from collections.abc import Iterator, Sequence

from dbrouting.grants import Grant

KNOWS_PATTERNS = True


def script(grants: Sequence[Grant]) -> Iterator[str]:
    yield from ()
