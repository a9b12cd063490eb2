"""A tenant's name and key, the alias made of the key, and what may be neither.

Both become part of an alias, a name on the server and a host name, so they keep to what is safe in all three. The name
is what people call a tenant, and may change. The key was its name when it was made, and is for ever: its rows are found
by it.
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


def alias_of(key: str) -> str:
    """The alias of the tenant with this key."""
    if not is_tenant_name(key):
        raise ValueError(f"{key!r} can't be the key of a tenant.")
    return ALIAS_PREFIX + key


def key_of(alias: str) -> str | None:
    """The key of the tenant whose alias this is, or would be; ``None`` if it can't be a tenant's."""
    key = alias.removeprefix(ALIAS_PREFIX)
    return key if alias.startswith(ALIAS_PREFIX) and is_tenant_name(key) else None
