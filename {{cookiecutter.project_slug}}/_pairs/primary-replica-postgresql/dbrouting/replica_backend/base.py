"""Django's backend for PostgreSQL, for replicas: what one can't answer the primary does (see fallback.py)."""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from django.utils.functional import cached_property
from psycopg_pool import PoolTimeout

from dbrouting.fallback import LeftOutError, ReplicaConnection


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    @cached_property
    def pg_version(self) -> int:
        """Of whoever answers: Django, which compiles queries for it, asks a connection that a dead replica hasn't."""
        with self.temporary_connection() as cursor:
            return int(cursor.connection.info.server_version)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A pool that gives no connection in time is as likely crowded as cut off. Whoever looks after the server, on
        a connection of their own, knows which of the two it is, and earlier."""
        try:
            return super().get_new_connection(conn_params)
        except PoolTimeout as error:
            if settings.REPLICA_CHECK_SECONDS:
                raise LeftOutError(str(error)) from error
            raise
