"""Which databases commands act on where some are copies of another."""

from dbrouting.pinning import current_unit, is_pinned_to_primary
from dbrouting.replicas import primary_alias
from dbrouting.targets import DatabaseTargets


class ReplicaTargets(DatabaseTargets):
    """A command that writes acts on the primary; a replica, if it is named, may be looked at."""

    def where(self) -> str:
        """Which database the next read of a shell goes to: after a write it is the primary, to the end."""
        if override := super().where():
            return override
        return primary_alias() if is_pinned_to_primary() else f"reads {current_unit().replica}"
