"""What ``current_tags`` says here: where reads go, and whether a write has pinned them to the primary."""

from contextlib import nullcontext

from dbrouting.pinning import current_unit, is_pinned_to_primary, working_for
from dbrouting.replica_routers import is_in_transaction
from dbrouting.replicas import primary_alias


def topology_tags(request: object) -> dict[str, str]:
    """Of this moment's unit of work; of an answered ``request``, whose unit is over, what its reads came to."""
    unit = getattr(request, "unit_of_work", None)
    with working_for(unit) if unit else nullcontext():
        pinned = is_pinned_to_primary()
        alias = primary_alias() if pinned or is_in_transaction() else current_unit().replica
    return {"database.alias": alias, "database.pinned": "yes" if pinned else "no"}
