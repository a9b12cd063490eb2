"""The primary and its replicas."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import engine
from config.env import database, env, from_url, place_of
from dbrouting.mapping import DatabaseMapping

# The alias that takes every write. Any other will do, with DATABASES["default"] = {} beside it.
PRIMARY_ALIAS = "default"


def replica(alias: str, url: str) -> tuple[dict[str, Any], int]:
    """The configuration of a replica, whose sessions refuse to write, and its weight: ``?weight=`` of its URL."""
    entry = f"entry {alias.removeprefix('replica')} of REPLICA_URLS"
    config = engine.read_only(from_url(alias, entry, url))
    weight = config["OPTIONS"].pop("weight", 1)
    if not isinstance(weight, int) or weight < 1:
        raise ImproperlyConfigured(
            f"{entry}, the URL of the database {alias!r}{place_of(url)}: weight={weight} must be a whole number above "
            "0. Mend it in .env; a replica with weight=2 serves twice the requests of one with weight=1."
        )
    # In tests the replicas are the primary's test database.
    return {**config, "TEST": {"MIRROR": PRIMARY_ALIAS}}, weight


_REPLICAS = {
    f"replica{number}": replica(f"replica{number}", url)
    for number, url in enumerate(env.str("REPLICA_URLS", default="").split(), start=1)
}

DATABASES = DatabaseMapping(
    {
        PRIMARY_ALIAS: database(PRIMARY_ALIAS, "DATABASE_URL"),
        **{alias: config for alias, (config, _) in _REPLICAS.items()},
    }
)

# Alias → weight. A list of aliases is as good if all weigh the same.
REPLICA_DATABASES = {alias: weight for alias, (_, weight) in _REPLICAS.items()}

# Apps whose rows must never be old: a replica would log people out, honour a session that was revoked, or bring back
# what was deleted from a cache in the database, whose table has the label django_cache.
PRIMARY_ONLY_APPS = {"accounts", "admin", "auth", "contenttypes", "django_cache", "sessions"}

# After a write, its author's next requests read the primary for so long; more than a replica ever lags behind.
# 0 leaves only the rest of the writing request on the primary.
PRIMARY_PIN_SECONDS = env.int("PRIMARY_PIN_SECONDS", default=10)
PRIMARY_PIN_COOKIE = "primary_pin"

DATABASE_ROUTERS = ["dbrouting.overrides.OverrideRouter", "dbrouting.routers.PrimaryReplicaRouter"]
DATABASE_MIDDLEWARE = ["dbrouting.middleware.PrimaryPinningMiddleware"]
DATABASE_APPS: list[str] = []
DATABASE_TARGETS = "dbrouting.replica_targets.ReplicaTargets"
