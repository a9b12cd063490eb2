"""Django's backend for PostgreSQL, for replicas: what one can't answer the primary does (see fallback.py)."""

from django.db.backends.postgresql import base
from django.utils.functional import cached_property

from dbrouting.fallback import ReplicaConnection


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    @cached_property
    def pg_version(self) -> int:
        """Of whoever answers: Django, which compiles queries for it, asks a connection that a dead replica hasn't."""
        with self.temporary_connection() as cursor:
            return int(cursor.connection.info.server_version)
