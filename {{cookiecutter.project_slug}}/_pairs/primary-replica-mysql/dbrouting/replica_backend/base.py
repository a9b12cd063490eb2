"""Django's backend for MySQL and MariaDB, for replicas: what one can't answer the primary does (see fallback.py)."""

from typing import Any

from django.db.backends.mysql import base

from dbrouting.fallback import ReplicaConnection


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """PyMySQL's ``connect_timeout`` ends before the server has said a word; that is not to take longer either."""
        own = conn_params.get("read_timeout")
        connection = super().get_new_connection({"read_timeout": conn_params["connect_timeout"], **conn_params})
        if own is None and hasattr(connection, "_read_timeout"):
            connection._read_timeout = None
        return connection
