"""MySQL and MariaDB: what every connection of this project needs, and why. What a URL says wins over what is here.

The driver is PyMySQL, because it is plain Python: nothing has to be compiled, on any system. mysqlclient is faster with
large results; to use it, put it in PyMySQL's place in pyproject.toml, as ``MySQLdb`` among the modules without types,
delete ``install_as_MySQLdb`` and what that needs, and import ``CLIENT`` from ``MySQLdb.constants``.
"""

from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

pymysql.install_as_MySQLdb()

ENGINE = "django.db.backends.mysql"
EXAMPLE_URL = "mysql://user:password@127.0.0.1:3306/shop"
EXAMPLE_ADMIN_URL = "mysql://root:password@127.0.0.1:3306/mysql"
# For columns whose values must be told apart by their bytes: by default "acmé" and "Acme" are equal to "acme".
EXACT_COLLATION = "utf8mb4_bin"
TAKES_HOST_LISTS = False

SETTINGS: dict[str, Any] = {
    # Connecting costs more than most queries: a connection is kept from one request to the next, for so many seconds.
    "CONN_MAX_AGE": 60,
    # One that died meanwhile, in a fail-over for instance, is replaced before a request uses it.
    "CONN_HEALTH_CHECKS": True,
    # As provisioning makes the real databases: a server's own default may be latin1, which can't hold most letters.
    "TEST": {"CHARSET": "utf8mb4"},
}
OPTIONS: dict[str, Any] = {
    # All of Unicode; what MySQL calls utf8 has no emoji.
    "charset": "utf8mb4",
    # What doesn't fit or can't be (a long text, 30 February, x / 0) is refused; otherwise it is cut and stored.
    "sql_mode": "TRADITIONAL",
    # What Django's get_or_create counts on; under the server's default a retry can't see the other's row.
    "isolation_level": "read committed",
    # Give up on a server that doesn't answer, instead of holding a worker for minutes; seconds.
    "connect_timeout": 5,
}
# For connections that only ask how the server is: it must answer within so many seconds, also to a log-in.
IMPATIENT: dict[str, Any] = {"read_timeout": 5, "write_timeout": 5}
# Whether the server refuses to write; a reader of Aurora's says so in the second variable only.
ASK_READ_ONLY = "SELECT @@global.read_only OR @@global.innodb_read_only"
# Whether the server itself takes writes, whatever its sessions refuse: no standby does, until it is promoted.
ASK_TAKES_WRITES = "SELECT NOT (@@global.read_only OR @@global.innodb_read_only)"
READ_ONLY = "SET SESSION TRANSACTION READ ONLY"


def adapt(config: dict[str, Any], base_dir: Path) -> dict[str, Any]:
    """``config`` as it is: nothing in it depends on the rest."""
    return config


def read_only(config: dict[str, Any]) -> dict[str, Any]:
    """The same server in sessions that refuse to write, also where the server itself would let them."""
    own = config["OPTIONS"].get("init_command")
    options = {**config["OPTIONS"], "init_command": READ_ONLY}
    if own:
        flags = config["OPTIONS"].get("client_flag", CLIENT.FOUND_ROWS)  # which Django sets, and counts on
        options.update(init_command=f"{own}; {READ_ONLY}", client_flag=flags | CLIENT.MULTI_STATEMENTS)
    return {**config, "OPTIONS": options}


def with_name(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Another database on the same server."""
    return {**config, "NAME": name}
