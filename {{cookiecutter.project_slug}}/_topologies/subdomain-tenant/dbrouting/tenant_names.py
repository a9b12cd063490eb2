"""A tenant's name, the alias made of it, and what may not be a name.

A name becomes part of an alias, a name on the server and a host name, so it keeps to what is safe in all three.
"""

import re

ALIAS_PREFIX = "tenant_"
# A name on a server has at most 63 bytes: 42 for the prefix, one for the underscore, 20 for the tenant.
MAX_LENGTH = 20
RESERVED = frozenset(
    {
        *("default", "shared", "public", "www"),
        *("postgres", "template0", "template1"),
        *("mysql", "sys", "information_schema", "performance_schema"),
    }
)

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PREFIX = re.compile(r"(?!pg(_|$))[a-z][a-z0-9_]{0,41}")


def is_tenant_name(name: str) -> bool:
    """Whether a tenant may be called ``name``."""
    return (
        len(name) <= MAX_LENGTH
        and _NAME.fullmatch(name) is not None
        and name not in RESERVED
        and not name.startswith("pg_")
    )


def is_database_prefix(prefix: str) -> bool:
    return _PREFIX.fullmatch(prefix) is not None


def alias_of(name: str) -> str:
    """The alias of the tenant called ``name``."""
    if not is_tenant_name(name):
        raise ValueError(f"{name!r} can't be the name of a tenant.")
    return ALIAS_PREFIX + name


def name_of(alias: str) -> str | None:
    """The name of the tenant whose alias this is, or would be; ``None`` if it can't be a tenant's."""
    name = alias.removeprefix(ALIAS_PREFIX)
    return name if alias.startswith(ALIAS_PREFIX) and is_tenant_name(name) else None
