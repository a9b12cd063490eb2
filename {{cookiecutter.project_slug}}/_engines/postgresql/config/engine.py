"""PostgreSQL: what every connection of this project needs, and why. What a URL says wins over what is here.

Two switches go at the end of a URL: ``?pool=true`` (or ``?pool=20``, at most so many connections) keeps the connections
in a pool, and ``?pgbouncer=true`` says that PgBouncer is in between, pooling transactions. A URL may list several
hosts, ``h1:5432,h2:5432``, and say by ``?target_session_attrs=read-write`` which of them is meant.
"""

import re
from pathlib import Path
from typing import Any

ENGINE = "django.db.backends.postgresql"
EXAMPLE_URL = "postgres://user:password@localhost:5432/shop"
EXAMPLE_ADMIN_URL = "postgres://postgres:password@localhost:5432/postgres"
# For columns whose values must be told apart by their bytes, whatever the database's collation.
EXACT_COLLATION = "C"
TAKES_HOST_LISTS = True

SETTINGS: dict[str, Any] = {
    # Connecting costs more than most queries: a connection is kept from one request to the next, for so many seconds.
    "CONN_MAX_AGE": 60,
    # One that died meanwhile, in a fail-over for instance, is replaced before a request uses it.
    "CONN_HEALTH_CHECKS": True,
}
OPTIONS: dict[str, Any] = {
    # Give up on a server that doesn't answer, instead of holding a worker for minutes; seconds.
    "connect_timeout": 5,
    # A server whose machine is gone says nothing: notice after a minute, not after the system's two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# Each process has a pool for each alias, so every minimum is multiplied by both: the driver's own, 4, would hold 1,600
# connections for 100 databases and 4 processes. A thread holds one connection at most: the maximum is of use to
# processes with more threads than that, and those which wait longer than the timeout get an error, not a connection. A
# pool has threads of its own: no more workers than it needs.
POOL = {"min_size": 0, "max_size": 10, "max_idle": 60, "timeout": 5, "num_workers": 1}
# For connections that only ask how the server is: what is sent must be received within so many milliseconds.
IMPATIENT: dict[str, Any] = {"tcp_user_timeout": 5000}
# A name, an IPv4 address, or an IPv6 address in brackets.
HOST_IN_LIST = re.compile(r"[^][:]+|\[[^][]+\]")
# Whether the server, or this session, refuses to write.
ASK_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean"
# Whether the server itself takes writes, whatever its sessions refuse: no standby does, until it is promoted.
ASK_TAKES_WRITES = "SELECT NOT pg_is_in_recovery()"


def adapt(config: dict[str, Any], base_dir: Path) -> dict[str, Any]:
    """``config`` with what its URL says turned into what Django and the driver understand, or ValueError."""
    options = dict(config["OPTIONS"])
    pool = _switch(options.pop("pool", False), "pool")
    is_behind_pgbouncer = _switch(options.pop("pgbouncer", False), "pgbouncer") > 0
    hosts = _host_list(config["HOST"], str(config["PORT"]))
    config = {**config, "HOST": hosts, "OPTIONS": options, "PGBOUNCER": is_behind_pgbouncer}
    if pool:
        options["pool"] = {**POOL, "max_size": pool if pool > 1 else POOL["max_size"]}
    if pool or is_behind_pgbouncer:
        config["CONN_MAX_AGE"] = 0  # the pool keeps the connections: Django must hand them back after each request
    if is_behind_pgbouncer:
        # A cursor on the server outlives its transaction, in a session that by then is another client's.
        config["DISABLE_SERVER_SIDE_CURSORS"] = True
    return config


def _switch(value: object, name: str) -> int:
    """A number, or 1 for true and 0 for false."""
    text = str(value).lower()
    if text not in {"true", "false"} and not text.isdecimal():
        raise ValueError(f"{name}={value} must be true, false or a number")
    return int(text) if text.isdecimal() else int(text == "true")


def _host_list(hosts: str, ports: str) -> str:
    """``hosts`` as libpq takes them, which would use a port that only one of them has for all."""
    each, numbers = hosts.split(","), ports.split(",") if ports else []
    if len(each) == 1:
        return hosts
    if not all(map(HOST_IN_LIST.fullmatch, each)):
        raise ValueError("one of its hosts is missing or malformed; they look like h1:5432,h2:5432,[::1]:5432")
    if len(numbers) not in {0, len(each)} or not all(0 < int(number) < 65536 for number in numbers):
        raise ValueError("give each of its hosts a port from 1 to 65535, or none of them any")
    return ",".join(host.strip("[]") for host in each)


def read_only(config: dict[str, Any]) -> dict[str, Any]:
    """The same server in sessions that refuse to write, also where the server itself would let them.

    PgBouncer refuses start-up options, and would share what a session sets with others. Behind it the server itself
    must refuse, as a standby does, or the user: ``ALTER ROLE … SET default_transaction_read_only = on``.
    """
    if config.get("PGBOUNCER"):
        return config
    own = config["OPTIONS"].get("options", "")
    options = f"{own} -c default_transaction_read_only=on".strip()
    return {**config, "OPTIONS": {**config["OPTIONS"], "options": options}}


def with_name(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Another database on the same server."""
    return {**config, "NAME": name}
