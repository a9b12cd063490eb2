"""What PostgreSQL says about its replication. Each function takes a cursor, of Django's or the driver's."""

from typing import Any

from django.db import InterfaceError

from dbrouting.consistency import Position

# What the numbers of two positions differ by.
UNIT = "bytes"

# The insert position: with synchronous_commit=off the write position is behind one's own commit.
WRITTEN = """
    SELECT system_identifier, pg_current_wal_insert_lsn() - '0/0', current_setting('wal_block_size')
    FROM pg_control_system()
"""
# NULL on a server that has never been a standby since it started.
REPLAYED = "SELECT system_identifier, pg_last_wal_replay_lsn() - '0/0' FROM pg_control_system()"
# The longest header of a page in the log. A record ends before it, or well behind.
PAGE_HEADER = 40

# A table or column that isn't there: a migration may not have come so far.
UNKNOWN_NAMES = {"42P01", "42703"}
# Connections that are lost or refused, a server that stops or has no room, and reads that a standby cancels because
# the primary has removed their rows: SQLSTATE, or how it begins.
FAILURES = ("08", "40001", "40P01", "53", "57P", "58")


def written(cursor: Any) -> Position | None:
    """All that is committed on the primary by now, the caller's own commits included."""
    cursor.execute(WRITTEN)
    cluster, number, block = cursor.fetchone()
    return Position(str(cluster), (("", end_of_record(int(number), int(block))),))


def end_of_record(number: int, block: int) -> int:
    """Where the last record ends: at the start of a page the next one's place, behind the header, is never replayed
    as long as the primary is idle."""
    into_page = number % block
    return number - into_page if into_page <= PAGE_HEADER else number


def replayed(cursor: Any) -> Position:
    """All that a standby shows. A server that is none shows nothing of the primary's."""
    cursor.execute(REPLAYED)
    cluster, number = cursor.fetchone()
    return Position(str(cluster), (("", int(number or 0)),))


def is_failure(error: BaseException) -> bool:
    """Whether ``error`` is the server's: another may answer. Errors of connections have no SQLSTATE.

    Nor has the driver's about how it is used, such as a cursor after it was closed.
    """
    if isinstance(error, InterfaceError):
        return False
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith(FAILURES)


def lacks_a_name(error: BaseException) -> bool:
    """Whether the statement uses a table or column that the server has not, or not yet."""
    return getattr(error.__cause__, "sqlstate", None) in UNKNOWN_NAMES


def socket_of(connection: Any) -> int:
    """The file descriptor that the driver's ``connection`` reads from."""
    return int(connection.fileno())
