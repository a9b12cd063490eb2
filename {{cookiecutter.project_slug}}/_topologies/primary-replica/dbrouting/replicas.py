"""The primary, its replicas, and the choice of one."""

import random
import time
from collections.abc import Mapping

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS

# Alias → until when it is left out, on this process's monotonic clock.
_left_out: dict[str, float] = {}


class Roles:
    """What the settings say of the databases, for what runs in every query: ``settings`` takes its time to answer."""

    def __init__(self) -> None:
        self.read_settings()
        setting_changed.connect(self.read_settings)  # of a test

    def read_settings(self, **kwargs: object) -> None:
        self.primary: str = getattr(settings, "PRIMARY_ALIAS", DEFAULT_DB_ALIAS)
        replicas = getattr(settings, "REPLICA_DATABASES", ())
        self.weights = dict(replicas) if isinstance(replicas, Mapping) else dict.fromkeys(replicas, 1)
        self.primary_only_apps = frozenset(getattr(settings, "PRIMARY_ONLY_APPS", ()))
        self.replicated_apps = frozenset(getattr(settings, "REPLICATED_APPS", ()))


roles = Roles()


def primary_alias() -> str:
    return roles.primary


def is_replica(alias: str | None) -> bool:
    return alias in roles.weights


def replica_weights() -> dict[str, int]:
    """Alias → weight; in a plain list of aliases each weighs the same."""
    return roles.weights


def leave_out(alias: str, seconds: float) -> None:
    """Choose ``alias`` no more for so long, in this process: units that begin later read elsewhere."""
    _left_out[alias] = time.monotonic() + seconds


def is_left_out(alias: str) -> bool:
    return alias in _left_out and time.monotonic() < _left_out[alias]


def take_back(alias: str) -> None:
    _left_out.pop(alias, None)


def choose_replica() -> str:
    """A replica at random, each as often as its weight says; the primary if there is none, or all are left out."""
    weights = {alias: weight for alias, weight in replica_weights().items() if not is_left_out(alias)}
    if not weights:
        return primary_alias()
    [alias] = random.choices(tuple(weights), tuple(weights.values()))
    return alias
