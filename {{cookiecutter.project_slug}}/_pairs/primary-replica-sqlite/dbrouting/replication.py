"""SQLite has no replication, and so no positions: who wrote is kept on the primary by time."""

import sqlite3
from typing import Any

from dbrouting.consistency import UNKNOWN, Position

# What the numbers of two positions differ by.
UNIT = "transactions"
# The file can't be opened or read.
FAILURES = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}


def written(cursor: Any) -> Position | None:
    return None


def replayed(cursor: Any) -> Position:
    return UNKNOWN


def is_failure(error: BaseException) -> bool:
    """Whether ``error`` is of the file rather than of the query: the primary's may be readable."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & 0xFF in FAILURES


def lacks_a_name(error: BaseException) -> bool:
    """Never one that the primary's file would have."""
    return False


def socket_of(connection: Any) -> int:
    """There is none: a file doesn't hang."""
    raise OSError("SQLite has no sockets")
