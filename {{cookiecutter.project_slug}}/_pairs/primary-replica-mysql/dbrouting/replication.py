"""What MariaDB and MySQL say about their replication. Each function takes a cursor, of Django's or the driver's.

Both number the transactions in their binary logs: MariaDB in each domain, MySQL for each server that ever was the
primary. Numbers of another cluster look the same, so a database that moves to servers with a new history needs another
name for PRIMARY_PIN_COOKIE.
"""

from collections.abc import Iterator
from typing import Any

from dbrouting.consistency import Position

# What the numbers of two positions differ by.
UNIT = "transactions"

# A table or column that isn't there: a migration may not have come so far.
UNKNOWN_NAMES = {1146, 1054}
# Too many connections, a server that stops, a blocked host, the network, locks that replication holds, a connection
# that was killed; from 2000 on the driver's own, and 0 for a connection that is closed already.
FAILURES = {0, 1040, 1053, 1129, 1158, 1159, 1160, 1161, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2055, 4031}


def written(cursor: Any) -> Position | None:
    """All that is committed on the primary by now; ``None`` without a binary log."""
    if is_mariadb(cursor):
        streams = domains(ask(cursor, "SELECT @@global.gtid_binlog_pos"))
    else:
        last = {name: end for name, _, end in intervals(ask(cursor, "SELECT @@global.gtid_executed"))}
        streams = tuple(last.items())
    return Position("", streams) if streams else None


def replayed(cursor: Any) -> Position:
    """All that a replica shows. MySQL's replicas may apply out of order: what is behind a gap doesn't count."""
    if is_mariadb(cursor):
        return Position("", domains(ask(cursor, "SELECT @@global.gtid_slave_pos")))
    executed = intervals(ask(cursor, "SELECT @@global.gtid_executed"))
    return Position("", tuple((name, end) for name, begin, end in executed if begin == 1))


def is_mariadb(cursor: Any) -> bool:
    return "MariaDB" in cursor.connection.get_server_info()


def ask(cursor: Any, query: str) -> str:
    cursor.execute(query)
    [value] = cursor.fetchone()
    return str(value or "")


def domains(text: str) -> tuple[tuple[str, int], ...]:
    """MariaDB's position, such as ``0-1-52,1-3-8``: domain, server, number."""
    parts = (part.split("-") for part in text.split(",") if part)
    return tuple((domain, int(number)) for domain, _, number in parts)


def intervals(text: str) -> Iterator[tuple[str, int, int]]:
    """MySQL's set, such as ``3E11FA47-…:1-5:7,4A22…:tag:1-9``: of each source, and tag, what it has from and to."""
    for source in text.replace("\n", "").split(","):
        uuid, *parts = source.strip().split(":")
        name = uuid
        for part in parts:
            if not part[:1].isdecimal():
                name = f"{uuid}:{part}"
                continue
            begin, _, end = part.partition("-")
            yield name, int(begin), int(end or begin)


def is_failure(error: BaseException) -> bool:
    """Whether ``error`` is the server's: another may answer."""
    return code_of(error) in FAILURES


def lacks_a_name(error: BaseException) -> bool:
    """Whether the statement uses a table or column that the server has not, or not yet."""
    return code_of(error) in UNKNOWN_NAMES


def code_of(error: BaseException) -> int:
    """The server's or the driver's number; 0 if there is none."""
    code, *_ = (*error.__cause__.args, 0) if error.__cause__ else (0,)
    return code if isinstance(code, int) else 0


def socket_of(connection: Any) -> int:
    """The file descriptor that the driver's ``connection`` reads from: PyMySQL's, or what was kept of mysqlclient's."""
    return int(connection._sock.fileno() if hasattr(connection, "_sock") else connection.dbrouting_socket)
