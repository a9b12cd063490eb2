"""The router of a project whose one database has replicas."""

from typing import Any

from dbrouting.replica_routers import ReplicaRouter
from dbrouting.replicas import roles


class PrimaryReplicaRouter(ReplicaRouter):
    """Takes what the routers before it leave: it has an answer for every model, so it comes last."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """A replica gets its tables from the primary, by replication."""
        return db == roles.primary
