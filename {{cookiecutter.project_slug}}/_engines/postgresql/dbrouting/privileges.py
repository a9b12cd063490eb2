"""PostgreSQL's rights: a script for psql, which the server's administrator runs whenever there is something new.

The migrator owns the databases and what it makes there: only who owns a table may change it. Its default privileges
give the others their rights to what it will make.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from django.core.management.base import CommandError
from psycopg.conninfo import make_conninfo

from dbrouting.grants import LEAST_LENGTH, Grant, Roles, all_roles, password_variables

# Nothing can be granted here in databases that aren't there yet: those that are have to be named one by one.
KNOWS_PATTERNS = False
MAX_BYTES = 63  # what is longer PostgreSQL cuts
TEMPLATE = "template1"  # what CREATE DATABASE copies, default privileges and all

HEADING = r"""-- Rights on the server {server}. An administrator runs this, and again whenever there is something new:
--   psql --no-psqlrc --host={host} --port={port} --username=postgres --dbname=postgres -f passwords.sql -f grants.sql
-- passwords.sql, for your eyes only, has such lines for the roles that are missing. The others keep their passwords.
{passwords}
\set ON_ERROR_STOP on
"""

# An administrator reads the text of what can't be turned into a number.
MAKE_ROLE = r"""
SELECT count(*) = 0 AS is_missing FROM pg_roles WHERE rolname = :'role' \gset
\if :is_missing
\if :{?%(password)s}
\else
\set %(password)s ''
\endif
SELECT concat(:'role', ' needs a password, of %(least)s characters or more: let passwords.sql set %(password)s')::int
FROM pg_roles WHERE rolname = current_user AND length(:'%(password)s') < %(least)s \gexec
CREATE ROLE :"role" LOGIN PASSWORD :'%(password)s' ROLE CURRENT_USER;
\endif
SELECT concat(rolname, ' is a superuser, or runs this: let the site have another user')::int
FROM pg_roles WHERE rolname = :'role' AND (rolsuper OR rolname = current_user) \gexec
"""
MAKE_NOTHING = 'ALTER ROLE :"role" NOCREATEDB NOCREATEROLE;'
MAKE_DATABASES = 'ALTER ROLE :"role" CREATEDB;'
ONLY_READ = 'ALTER ROLE :"role" SET default_transaction_read_only = on;'

MAKE_DATABASE = r"""
SELECT format('CREATE DATABASE %I', :'name') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
"""
CONNECT = r"""\connect -reuse-previous=on :"place"
"""

# In a transaction: whoever is at work meanwhile has the old rights, then the new ones, and never none.
OWN_DATABASE = r"""BEGIN;
SET LOCAL lock_timeout = '5s'; -- rather give up than make the site wait
ALTER DATABASE :"name" OWNER TO :"migrator";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO :"migrator";
-- What the application owns becomes the migrator's: schemas first, for who has a table must have a right to its schema;
-- sequences last, for a column's own goes with its table.
SELECT format('ALTER %s %s OWNER TO %I', object.type, object.identity, :'migrator')
FROM pg_shdepend AS owned, pg_identify_object(owned.classid, owned.objid, owned.objsubid) AS object
WHERE owned.deptype = 'o' AND pg_get_userbyid(owned.refobjid) = :'application'
    AND owned.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND object.type IN ('schema', 'table', 'view', 'materialized view', 'foreign table', 'sequence', 'type',
        'function', 'procedure', 'aggregate')
ORDER BY object.type = 'sequence', object.type <> 'schema' \gexec
"""

ON_WHAT_IS_THERE = r"""
REVOKE ALL ON DATABASE :"name" FROM :"role";
GRANT CONNECT ON DATABASE :"name" TO :"role";
REVOKE CREATE ON SCHEMA public FROM :"role";
GRANT USAGE ON SCHEMA public TO :"role";
SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, :'role')
FROM pg_namespace WHERE pg_get_userbyid(nspowner) = :'migrator' \gexec
SELECT format('REVOKE ALL ON TABLE %s FROM %I', oid::regclass, :'role'),
    format('GRANT %s ON TABLE %s TO %I',
        CASE relname WHEN 'django_migrations' THEN 'SELECT' ELSE :'rows' END, oid::regclass, :'role')
FROM pg_class WHERE pg_get_userbyid(relowner) = :'migrator' AND relkind IN ('r', 'p', 'v', 'm', 'f') \gexec
SELECT format('GRANT %s ON SEQUENCE %s TO %I', :'numbers', oid::regclass, :'role')
FROM pg_class WHERE pg_get_userbyid(relowner) = :'migrator' AND relkind = 'S' \gexec
"""
ON_WHAT_WILL_BE = r"""
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" GRANT USAGE ON SCHEMAS TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" GRANT :rows ON TABLES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" GRANT :numbers ON SEQUENCES TO :"role";
"""


def script(grants: Sequence[Grant]) -> Iterator[str]:
    roles = all_roles(grants)
    require_whole_names(roles)
    passwords = password_variables(roles)
    yield heading(grants[0].server, passwords.values())
    for role in roles:
        yield f"\n{assign(role=role)}{MAKE_ROLE % {'password': passwords[role], 'least': LEAST_LENGTH}}"
        yield from attributes(role, grants)
    for grant in grants:
        if not grant.name.endswith("*"):
            yield from on_database(grant)
    for later in dict.fromkeys(grant.roles for grant in grants if grant.name.endswith("*")):
        yield from on_later_databases(later)


def require_whole_names(roles: Sequence[str]) -> None:
    for role in roles:
        if len(role.encode()) > MAX_BYTES:
            raise CommandError(
                f"PostgreSQL would cut the name {role!r}: say a shorter one, of {MAX_BYTES} bytes at most."
            )


def heading(server: str, passwords: Iterable[str]) -> str:
    host, _, port = server.rpartition(":")
    lines = "".join(f"--   \\set {variable} '...'\n" for variable in passwords)
    return HEADING.format(server=repr(server), host=shlex.quote(host or "localhost"), port=port, passwords=lines)


def attributes(role: str, grants: Sequence[Grant]) -> Iterator[str]:
    """A migrator that may make databases keeps that right: the script may be for one of them only."""
    if not any(role == grant.roles.migrator for grant in grants):
        yield f"{MAKE_NOTHING}\n"
    elif any(role == grant.roles.migrator for grant in grants if grant.name.endswith("*")):
        yield f"{MAKE_DATABASES}\n"
    if any(role in grant.roles.readers for grant in grants):
        yield f"{ONLY_READ}\n"


def on_database(grant: Grant) -> Iterator[str]:
    names = {"application": grant.roles.application, "migrator": grant.roles.migrator}
    yield f"\n-- {grant}\n{assign(name=grant.name, **names)}{MAKE_DATABASE}"
    yield f"{assign(place=make_conninfo(dbname=grant.name))}{CONNECT}{OWN_DATABASE}"
    for assignment in rights(grant.roles):
        yield f"{assignment}{ON_WHAT_IS_THERE}{ON_WHAT_WILL_BE}"
    yield "COMMIT;\n"


def on_later_databases(roles: Roles) -> Iterator[str]:
    """They are the migrator's, who makes them as copies of the template."""
    yield f"\n-- Databases that {roles.migrator!r} makes from now on\n{assign(migrator=roles.migrator)}"
    yield f"{assign(place=make_conninfo(dbname=TEMPLATE))}{CONNECT}"
    for assignment in rights(roles):
        yield f"{assignment}{ON_WHAT_WILL_BE}"


def rights(roles: Roles) -> Iterator[str]:
    yield assign(role=roles.application, rows="SELECT, INSERT, UPDATE, DELETE", numbers="USAGE, SELECT")
    for reader in roles.readers:
        yield assign(role=reader, rows="SELECT", numbers="SELECT")


def assign(**variables: str) -> str:
    """psql's variables, which it puts into the statements as literals or identifiers, whatever is in them."""
    return "".join(f"\\set {name} {quoted(value)}\n" for name, value in variables.items())


def quoted(value: str) -> str:
    """As psql's own commands have it."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"
