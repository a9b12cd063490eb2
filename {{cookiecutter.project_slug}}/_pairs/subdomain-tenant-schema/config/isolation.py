"""What keeps the tenants' rows apart: each has a PostgreSQL schema of its own, called ``<prefix>_<name>``."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.env import env

ENGINE = "dbrouting.schemas"

# One pool of sessions serves all the tenants of a server, in each process. A thread takes one when it queries and gives
# it back when the request ends or it goes to another tenant: threads are what the server has to bear, not tenants.
POOL_SIZE = env.int("TENANT_POOL_SIZE", default=20)
POOL = {
    # Kept open while nobody needs them.
    "min_size": min(2, POOL_SIZE),
    # No more than this: as many as there are threads that serve requests at once. Other threads, an executor's for
    # instance, have sessions of their own besides.
    "max_size": POOL_SIZE,
    # Who finds none waits so many seconds for one, then fails. An unreachable server shows after that time only.
    "timeout": 5,
}


def tenant_server(config: dict[str, Any]) -> dict[str, Any]:
    """``config``, unless PgBouncer is there: it hands a session with its ``search_path`` from one client to another."""
    if config["PGBOUNCER"]:
        raise ImproperlyConfigured(
            f"{config['VARIABLE']} in .env says pgbouncer=true, and tenants in schemas would be served each other's "
            "rows behind it. Set TENANT_DATABASE_URL to the server itself, without pgbouncer=true."
        )
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
    options = {**server["OPTIONS"], "pool": POOL}
    return {**server, "ENGINE": ENGINE, "SCHEMA": name, "OPTIONS": options, "CONN_MAX_AGE": 0}
