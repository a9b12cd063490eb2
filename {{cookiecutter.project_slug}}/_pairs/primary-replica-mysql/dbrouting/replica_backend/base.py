"""Django's backend for MySQL and MariaDB, for replicas: what one can't answer the primary does (see fallback.py)."""

from django.db.backends.mysql import base

from dbrouting.fallback import ReplicaConnection


class DatabaseWrapper(ReplicaConnection, base.DatabaseWrapper):
    pass
