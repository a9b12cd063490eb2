"""PostgreSQL: what every connection of this project needs, and why."""

from pathlib import Path
from typing import Any

ENGINE = "django.db.backends.postgresql"
EXAMPLE_URL = "postgres://user:password@localhost:5432/shop"

# Give up on a server that doesn't answer, instead of holding a worker for minutes; seconds.
OPTIONS = {"connect_timeout": 5}


def with_defaults(config: dict[str, Any], base_dir: Path) -> dict[str, Any]:
    """``config`` with connections that are kept for a minute and tested before they are used again."""
    return {
        **config,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**OPTIONS, **config.get("OPTIONS", {})},
    }


def read_only(config: dict[str, Any]) -> dict[str, Any]:
    """The same server in sessions that refuse to write, also where the server itself would let them."""
    own = config["OPTIONS"].get("options", "")
    options = f"{own} -c default_transaction_read_only=on".strip()
    return {**config, "OPTIONS": {**config["OPTIONS"], "options": options}}


def with_name(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Another database on the same server."""
    return {**config, "NAME": name}
