"""Django's backend for PostgreSQL, for replicas: what one can't answer the primary does (see fallback.py)."""

from django.db.backends.postgresql import base

from dbrouting.fallback import ReplicaConnection


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    pass
