"""PostgreSQL's users, which it calls roles; every statement here is sent by an administrator."""

from django.db.backends.utils import CursorWrapper


def create(cursor: CursorWrapper, user: str, password: str) -> bool:
    """Make ``user`` if it is missing; True if it was."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user])
    if cursor.fetchone():
        return False
    # An administrator that isn't a superuser, as in most clouds, can give databases only to roles it is a member of.
    cursor.execute(f"CREATE ROLE {identifier(user)} LOGIN PASSWORD %s ROLE CURRENT_USER", [password])
    return True


def allow(cursor: CursorWrapper, user: str, name: str) -> str:
    """Make the database ``name``, owned by ``user``, or let ``user`` make any if it ends in ``*``; gives what was done.

    PostgreSQL knows no right to make databases with certain names.
    """
    if name.endswith("*"):
        return _allow_any(cursor, user)
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    if cursor.fetchone():
        return ""
    cursor.execute(f"CREATE DATABASE {identifier(name)} OWNER {identifier(user)}", [])
    return f"Created the database {name}."


def _allow_any(cursor: CursorWrapper, user: str) -> str:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND (rolcreatedb OR rolsuper)", [user])
    if cursor.fetchone():
        return ""
    cursor.execute(f"ALTER ROLE {identifier(user)} CREATEDB", [])
    return f"The user {user} may make databases now."


def identifier(name: str) -> str:
    """``name`` as SQL has it, in a statement with parameters."""
    return '"{}"'.format(name.replace('"', '""').replace("%", "%%"))
