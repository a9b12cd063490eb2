"""What ``current_tags`` says here: where reads go, and whether a write has pinned them to the primary."""

from dbrouting.pinning import current_unit, is_pinned_to_primary
from dbrouting.replicas import primary_alias
from dbrouting.routers import is_in_transaction


def topology_tags(request: object) -> dict[str, str]:
    pinned = is_pinned_to_primary()
    alias = primary_alias() if pinned or is_in_transaction() else current_unit().replica
    return {"database.alias": alias, "database.pinned": "yes" if pinned else "no"}
