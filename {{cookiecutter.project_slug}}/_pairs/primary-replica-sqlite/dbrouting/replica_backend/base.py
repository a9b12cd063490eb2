"""Django's backend for SQLite, for replicas: what one can't answer the primary does (see fallback.py)."""

from django.db.backends.sqlite3 import base

from dbrouting.fallback import ReplicaConnection


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    pass
