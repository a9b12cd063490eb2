"""The primary, its replicas, and the choice of one."""

import random
from collections.abc import Mapping

from django.conf import settings


def primary_alias() -> str:
    alias: str = settings.PRIMARY_ALIAS
    return alias


def is_replica(alias: str | None) -> bool:
    return alias in settings.REPLICA_DATABASES


def replica_weights() -> dict[str, int]:
    """Alias → weight; in a plain list of aliases each weighs the same."""
    replicas = settings.REPLICA_DATABASES
    return dict(replicas) if isinstance(replicas, Mapping) else dict.fromkeys(replicas, 1)


def choose_replica() -> str:
    """A replica at random, each as often as its weight says; the primary if there is none."""
    weights = replica_weights()
    if not weights:
        return primary_alias()
    [alias] = random.choices(tuple(weights), tuple(weights.values()))
    return alias
