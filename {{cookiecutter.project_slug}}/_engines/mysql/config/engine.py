"""MySQL and MariaDB: what every connection of this project needs, and why.

The driver is PyMySQL, because it is plain Python: mysqlclient must be compiled against the server's headers.
"""

from pathlib import Path
from typing import Any

import pymysql

pymysql.install_as_MySQLdb()

ENGINE = "django.db.backends.mysql"
EXAMPLE_URL = "mysql://user:password@127.0.0.1:3306/shop"

OPTIONS = {
    "charset": "utf8mb4",
    # Without strict mode a value that doesn't fit is cut and stored.
    "sql_mode": "STRICT_TRANS_TABLES",
    # What Django's get_or_create counts on; under the server's default a retry can't see the other's row.
    "isolation_level": "read committed",
    "connect_timeout": 5,
}


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
    options = {**config["OPTIONS"], "init_command": "SET SESSION TRANSACTION READ ONLY"}
    return {**config, "OPTIONS": options}


def with_name(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Another database on the same server."""
    return {**config, "NAME": name}
