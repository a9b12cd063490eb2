"""Django's backend for MySQL and MariaDB, for replicas: what one can't answer the primary does (see fallback.py)."""

from typing import Any

from django.db.backends.mysql import base

from dbrouting.fallback import ReplicaConnection

IS_PYMYSQL = base.DatabaseWrapper.Database.__name__ == "pymysql"


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """PyMySQL's ``connect_timeout`` ends before the server has said a word; that is not to take longer either.

        mysqlclient's ends when the log-in is over. It tells no other thread which socket a connection in use has.
        """
        if not IS_PYMYSQL:
            connection = super().get_new_connection(conn_params)
            connection.dbrouting_socket = connection.fileno()
            return connection
        connection = super().get_new_connection({"read_timeout": conn_params["connect_timeout"], **conn_params})
        if "read_timeout" not in conn_params:
            connection._read_timeout = None
        return connection
