"""What keeps the tenants' rows apart: each has a database of its own, called ``<prefix>_<key>``."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from config import engine
from config.env import BASE_DIR

# All tenants' connections are kept in one stock of this process, so none is kept by itself.
KEPT_IN_STOCK = {"ENGINE": "dbrouting.tenant_backend", "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}


def tenant_server(config: dict[str, Any]) -> dict[str, Any]:
    """``config``: any server will do."""
    return config


def database_names(server: dict[str, Any], prefix: str) -> str:
    """The databases that the user of ``server`` must be able to make, with ``*`` for the rest of their names."""
    return f"{prefix}_*"


def tenant_config(server: dict[str, Any], name: str, shared: dict[str, Any]) -> dict[str, Any] | None:
    """The database ``name`` on ``server``; ``None`` if it would be the shared one."""
    config = {**engine.with_name(server, name), **KEPT_IN_STOCK}
    return None if place_of(config) == place_of(shared) else config


def place_of(config: dict[str, Any]) -> tuple[str, str, str]:
    """What tells a database from every other: server and name. A file is on no server, and may be named by a URI."""
    name = config["NAME"]
    if config.get("HOST"):
        return config["HOST"], str(config.get("PORT", "")), name
    path = unquote(urlsplit(name).path) if name.startswith("file:") else name
    return config.get("HOST", ""), str(config.get("PORT", "")), os.path.normpath(BASE_DIR / path)
