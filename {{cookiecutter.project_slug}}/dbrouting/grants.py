"""Who may do what in which database, for `grant_sql`: roles of their own for what a site does and what `migrate` does.

The application reads and writes rows. The migrator makes the tables, and owns them. Readers only read.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.core.management.base import CommandError
from django.db import connections

from config import engine
from dbrouting.administration import names_in_tests, server_of
from dbrouting.aliases import apps_on, usable_aliases
from dbrouting.targets import Access, get_targets

LEAST_LENGTH = 8  # of a new user's password: what is shorter was forgotten


class Roles(NamedTuple):
    application: str
    migrator: str
    readers: tuple[str, ...] = ()

    def names(self) -> list[str]:
        return [self.application, self.migrator, *self.readers]


class Names(NamedTuple):
    """What the roles shall be called; an empty one is derived from the user in the database's URL."""

    application: str = ""
    migrator: str = ""
    reader: str = ""


class Grant(NamedTuple):
    """Where ``roles`` have their rights: in the database ``name``, or in those that begin so if it ends in ``*``."""

    name: str
    roles: Roles
    variable: str
    server: str
    alias: str = ""

    def __str__(self) -> str:
        alias = f"{self.alias!r}: " if self.alias else ""
        what = "databases" if self.name.endswith("*") else "database"
        return f"{alias}the {what} {self.name!r} on {self.server} ({self.variable})"


def require_users() -> None:
    if not engine.EXAMPLE_ADMIN_URL:
        raise CommandError(
            "There is nothing to grant: SQLite's databases are files and know no users. Who may write a file may do "
            "everything in it; give the file and its folder to the system's user that the site runs as."
        )


def grants_of_all(names: Names, unlisted: Iterable[str]) -> list[Grant]:
    """What there is to grant on the listed aliases, and on ``unlisted`` ones."""
    aliases = {id(connections.settings[alias]): alias for alias in usable_aliases()}
    grants = [grant_of(access, names, aliases.get(id(access.config), "")) for access in get_targets().accesses()]
    return [*grants, *(grant_on(alias, names) for alias in unlisted)]


def in_tests(grants: Iterable[Grant]) -> Iterator[Grant]:
    """The same in the databases of the tests."""
    for grant in grants:
        for name in names_in_tests(grant.name):
            yield grant._replace(name=name, alias="")


def grant_on(alias: str, names: Names) -> Grant:
    """What there is to grant on one alias. Raises CommandError if it holds no tables."""
    if alias not in connections.settings:
        raise CommandError(f"No database is called {alias!r}. DATABASES lists: {', '.join(connections)}.")
    config = connections.settings[alias]
    if apps_on(alias):
        return grant_of(Access(config, config["NAME"]), names, alias)
    source = config["TEST"]["MIRROR"]
    remedy = f"The rights of who reads it come with those on {source!r}." if source else "There is nothing to grant."
    raise CommandError(f"{alias!r} holds no tables of its own. {remedy}")


def grant_of(access: Access, names: Names, alias: str) -> Grant:
    config = access.config
    roles = roles_of(config, names, mirrors_of(alias))
    alias = alias if access.name == config["NAME"] else ""
    return Grant(access.name, roles, config["VARIABLE"], server_of(config), alias)


def roles_of(config: dict[str, Any], names: Names, mirrors: Iterable[str]) -> Roles:
    application = names.application or config["USER"]
    if not application:
        raise CommandError(f"{config['VARIABLE']} names no user. Say which: --application NAME")
    own = f"{application}_reader"
    users = [connections.settings[mirror]["USER"] for mirror in mirrors]
    readers = [names.reader] if names.reader else [own if user == config["USER"] else user for user in users]
    roles = Roles(application, names.migrator or f"{application}_migrator", tuple(dict.fromkeys(readers)))
    if len(set(roles.names())) < len(roles.names()):
        raise CommandError(f"The roles need different names, and these are: {', '.join(map(repr, roles.names()))}.")
    return roles


def mirrors_of(alias: str) -> Iterator[str]:
    """The aliases whose ``TEST`` says that they repeat what ``alias`` has; they are only read."""
    for mirror in usable_aliases() if alias else ():
        if connections.settings[mirror]["TEST"]["MIRROR"] == alias:
            yield mirror


def without_repetitions(grants: Iterable[Grant]) -> list[Grant]:
    """One for each database and its roles, under the first alias that has it."""
    kept: dict[tuple[str, str, Roles], Grant] = {}
    for grant in grants:
        kept.setdefault((grant.server, grant.name, grant.roles), grant)
    return list(kept.values())


def on_one_server(grants: Iterable[Grant], server: str | None) -> list[Grant]:
    """Those on ``server``, or all of them. Raises CommandError if they are on several: a script is for one."""
    grants = without_repetitions(grants)
    servers = sorted({grant.server for grant in grants})
    if server is not None and server not in servers:
        raise CommandError(f"No database is on the server {server!r}. There are: {', '.join(servers)}.")
    if server is None and len(servers) > 1:
        each = "\n".join(f"  python manage.py grant_sql --server {name}" for name in servers)
        raise CommandError(f"The databases are on {len(servers)} servers, and each needs a script of its own:\n{each}")
    return [grant for grant in grants if server in (None, grant.server)]


def all_roles(grants: Iterable[Grant]) -> list[str]:
    return list(dict.fromkeys(name for grant in grants for name in grant.roles.names()))


def password_variables(roles: Iterable[str]) -> dict[str, str]:
    """Role → the variable that the client finds its password in, one for each."""
    variables: dict[str, str] = {}
    for role in roles:
        variable = re.sub(r"[^a-z0-9_]", "_", role.lower()) + "_password"
        while variable in variables.values():
            variable += "_"
        variables[role] = variable
    return variables
