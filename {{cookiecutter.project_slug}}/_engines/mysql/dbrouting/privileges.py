"""The rights of MySQL and MariaDB: a script for their client, which the server's administrator runs.

Rights are to databases by name or by the beginning of names, and so to all that will be in them.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from dbrouting.grants import LEAST_LENGTH, Grant, all_roles, password_variables
from dbrouting.server_users import ANY_HOST, pattern

KNOWS_PATTERNS = True
ROWS = "SELECT, INSERT, UPDATE, DELETE"
TABLES = "CREATE, ALTER, DROP, INDEX, REFERENCES"

HEADING = """\
-- Rights on the server {server}. An administrator runs this with its client, mysql or mariadb:
--   cat passwords.sql grants.sql | mysql --host={host} --port={port} --user=root --password
-- passwords.sql, for your eyes only, has such lines for the users that are missing. The others keep their passwords.
{passwords}
SET SESSION sql_mode = 'TRADITIONAL'; -- so that quotes mean what they mean here, and no GRANT makes a user
"""
RUN = "PREPARE statement FROM @statement;\nEXECUTE statement;\nDEALLOCATE PREPARE statement;\n"
# The client knows no conditions: an administrator reads the text of what no server understands.
MAKE_USER = """
SET @statement = IF(EXISTS (SELECT * FROM mysql.user WHERE user = {name} AND host = {host}), 'DO 0', CONCAT(
    {make},
    IF(CHAR_LENGTH(@{password}) >= {least}, QUOTE(@{password}),
        '@{password}: let passwords.sql set it, to {least} characters or more')));
"""
REFUSE_ADMINISTRATOR = """\
SET @statement = IF(EXISTS (SELECT * FROM mysql.user WHERE user = {name} AND 'Y' IN (Insert_priv, Create_priv)),
    CONCAT({name}, ' has rights everywhere: let the site have another user'), 'DO 0');
"""


def script(grants: Sequence[Grant]) -> Iterator[str]:
    roles = all_roles(grants)
    passwords = password_variables(roles)
    yield heading(grants[0].server, passwords.values())
    for role in roles:
        yield from make_user(role, passwords[role])
    for grant in grants:
        yield f"\n-- {grant}\n"
        yield from on_databases(grant)


def heading(server: str, passwords: Iterable[str]) -> str:
    host, _, port = server.rpartition(":")
    lines = "".join(f"--   SET @{variable} = '...';\n" for variable in passwords)
    return HEADING.format(server=repr(server), host=shlex.quote(host or "localhost"), port=port, passwords=lines)


def make_user(role: str, password: str) -> Iterator[str]:
    name, host, make = literal(role), literal(ANY_HOST), literal(f"CREATE USER {account(role)} IDENTIFIED BY ")
    yield MAKE_USER.format(name=name, host=host, make=make, password=password, least=LEAST_LENGTH) + RUN
    yield REFUSE_ADMINISTRATOR.format(name=name) + RUN


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
