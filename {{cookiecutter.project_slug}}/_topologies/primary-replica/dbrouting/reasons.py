"""What the router of this topology has in mind, for those who ask why."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from django.conf import settings
from django.db.models import Model

from dbrouting.pinning import UnitOfWork, is_pinned_to_primary, use_primary, working_for
from dbrouting.replica_routers import ReplicaRouter, is_in_transaction
from dbrouting.replicas import primary_alias, replica_weights

# A diagram of the rule holds for any number of replicas.
REPLICAS = "the replicas"
# Decisions that nobody took: there are none here.
BY_DEFAULT: frozenset[str] = frozenset()
# Those to have a table also where the routers send no query.
EVERYWHERE: frozenset[str] = frozenset()
# What a diagram shows beside the routing: from, to, what.
LINKS = ((primary_alias(), REPLICAS, "replication"),)


class ReaderOf(UnitOfWork):
    """A unit of work that was given this replica."""

    def __init__(self, alias: str) -> None:
        super().__init__()
        self.alias = alias

    @property
    def replica(self) -> str:
        return self.alias


def situations(for_diagram: bool = False) -> Iterator[tuple[str, AbstractContextManager[object]]]:
    """A request that has only read, on each replica it may have been given; and one that has written."""
    if is_pinned_to_primary():
        yield "", nullcontext()
        return
    for alias in [REPLICAS] if for_diagram else replica_weights() or [primary_alias()]:
        yield "", working_for(ReaderOf(alias))
    yield "after a write", use_primary()


def pattern_of(alias: str) -> str:
    """Every alias stands for itself."""
    return alias


def why(router: object, operation: str, model: type[Model], alias: str | None) -> str:
    if not isinstance(router, ReplicaRouter):
        return ""
    if operation != "read":
        return "the primary"
    if model._meta.app_label in settings.PRIMARY_ONLY_APPS:
        return "PRIMARY_ONLY_APPS"
    if is_pinned_to_primary():
        return "pinned to the primary"
    if is_in_transaction():
        return "a transaction is open on the primary"
    return "there is no replica" if alias == primary_alias() else "a replica, by weight"
