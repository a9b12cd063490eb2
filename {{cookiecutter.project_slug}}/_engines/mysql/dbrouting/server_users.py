"""The users of MySQL and MariaDB; every statement here is sent by an administrator."""

import re

from django.db.backends.utils import CursorWrapper

# A user is a name and where it connects from, which behind a container's or a cloud's network can't be foretold.
ANY_HOST = "%"


def create(cursor: CursorWrapper, user: str, password: str) -> bool:
    """Make ``user`` if it is missing; True if it was."""
    if hosts(cursor, user):
        return False
    cursor.execute("CREATE USER %s@%s IDENTIFIED BY %s", [user, ANY_HOST, password])
    return True


def allow(cursor: CursorWrapper, user: str, name: str) -> str:
    """Let ``user`` make and use the database ``name``, or those that begin so if it ends in ``*``."""
    for host in hosts(cursor, user):
        cursor.execute(f"GRANT ALL ON {pattern(name)}.* TO %s@%s", [user, host])
    return ""


def hosts(cursor: CursorWrapper, user: str) -> list[str]:
    cursor.execute("SELECT host FROM mysql.user WHERE user = %s", [user])
    return [host for (host,) in cursor.fetchall()]


def pattern(name: str) -> str:
    """``name`` as GRANT has it, where a bare ``_`` is any character, ``%`` any number; for SQL with parameters."""
    escaped = re.sub(r"([\\_%])", r"\\\1", name.removesuffix("*")).replace("`", "``")
    like = f"{escaped}%" if name.endswith("*") else escaped
    return "`{}`".format(like.replace("%", "%%"))
