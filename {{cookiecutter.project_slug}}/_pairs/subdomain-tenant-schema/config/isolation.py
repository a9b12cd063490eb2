"""What keeps the tenants' rows apart: each has a PostgreSQL schema of its own, called ``<prefix>_<key>``."""

from typing import Any

# All tenants' sessions are kept in one stock of this process, so none is kept by itself.
KEPT_IN_STOCK = {"ENGINE": "dbrouting.schemas", "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}


def tenant_server(config: dict[str, Any]) -> dict[str, Any]:
    """``config``: any server will do, also behind PgBouncer."""
    return config


def database_names(server: dict[str, Any], prefix: str) -> str:
    """The database that the user of ``server`` must be able to make: schemas are made in it."""
    name: str = server["NAME"]
    return name


def tenant_config(server: dict[str, Any], name: str, shared: dict[str, Any]) -> dict[str, Any] | None:
    """The schema ``name`` in the database of ``server``; ``None`` if it would be the server's own or the shared one.

    Where none is said, as in the shared database's queries, PostgreSQL looks first in the one called like the role.
    """
    if name in ("information_schema", shared.get("USER")):
        return None
    return {**server, **KEPT_IN_STOCK, "SCHEMA": name}
