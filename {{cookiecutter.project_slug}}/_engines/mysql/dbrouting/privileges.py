"""The rights of MySQL and MariaDB: a script for their client, which the server's administrator runs.

Rights are to databases by name or by the beginning of names, and so to all that will be in them.
"""

import shlex
from collections.abc import Iterator, Sequence

from dbrouting.grants import Grant, all_roles, password_variables
from dbrouting.server_users import ANY_HOST, pattern

KNOWS_PATTERNS = True
ROWS = "SELECT, INSERT, UPDATE, DELETE"
TABLES = "CREATE, ALTER, DROP, INDEX, REFERENCES"

# Quotes as they are written here, and no user made by a GRANT.
SESSION = "SET SESSION sql_mode = 'TRADITIONAL';\n"
RUN = "PREPARE statement FROM @statement;\nEXECUTE statement;\nDEALLOCATE PREPARE statement;\n"
# The client knows no conditions. What can't be done becomes a statement that no server understands.
MAKE_USER = """
SET @statement = IF(EXISTS (SELECT * FROM mysql.user WHERE user = {name} AND host = {host}), 'DO 0', CONCAT(
    {make}, IF(CHAR_LENGTH(@{variable}) > 0, QUOTE(@{variable}), '@{variable}, which passwords.sql must set')));
"""
REFUSE_ADMINISTRATOR = """\
SET @statement = IF(EXISTS (SELECT * FROM mysql.user WHERE user = {name} AND 'Y' IN (Insert_priv, Create_priv)),
    CONCAT({name}, ' has rights on every database: revoke them, or have the site use another user'), 'DO 0');
"""


def script(grants: Sequence[Grant]) -> Iterator[str]:
    roles = all_roles(grants)
    variables = password_variables(roles)
    yield from heading(grants[0].server, variables)
    for role in roles:
        yield from make_user(role, variables[role])
    for grant in grants:
        yield f"\n-- {grant}\n"
        yield from on_databases(grant)


def heading(server: str, variables: dict[str, str]) -> Iterator[str]:
    host, _, port = server.rpartition(":")
    where = f"--host={shlex.quote(host)} --port={port}" if host else f"--port={port}"
    yield f"-- Rights on the server {server!r}. An administrator runs this with its client, mysql or mariadb:\n"
    yield f"--   cat passwords.sql grants.sql | mysql {where} --user=root --password\n"
    yield "-- passwords.sql, which only you can read, has a line for each user that is missing. The others keep theirs.\n"
    for role, variable in variables.items():
        yield f"--   SET @{variable} = '...';  -- for {role!r}\n"
    yield f"\n{SESSION}"


def make_user(role: str, variable: str) -> Iterator[str]:
    make = literal(f"CREATE USER {account(role)} IDENTIFIED BY ")
    yield MAKE_USER.format(name=literal(role), host=literal(ANY_HOST), make=make, variable=variable) + RUN
    yield REFUSE_ADMINISTRATOR.format(name=literal(role)) + RUN


def on_databases(grant: Grant) -> Iterator[str]:
    where = f"{pattern(grant.name).replace('%%', '%')}.*"
    if not grant.name.endswith("*"):
        yield f"CREATE DATABASE IF NOT EXISTS {identifier(grant.name)} CHARACTER SET utf8mb4;\n"
    yield f"GRANT {ROWS}, {TABLES} ON {where} TO {account(grant.roles.migrator)};\n"
    yield from only(ROWS, where, account(grant.roles.application))
    for reader in grant.roles.readers:
        yield from only("SELECT", where, account(reader))


def only(rights: str, where: str, who: str) -> Iterator[str]:
    """These rights and none that were there; what nobody has can't be revoked, so they are granted first, too."""
    yield f"GRANT {rights} ON {where} TO {who};\n"
    yield f"REVOKE ALL PRIVILEGES ON {where} FROM {who};\n"
    yield f"GRANT {rights} ON {where} TO {who};\n"


def account(role: str) -> str:
    return f"{identifier(role)}@{identifier(ANY_HOST)}"


def identifier(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))


def literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
