"""The primary and its replicas."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import engine
from config.env import database, env, from_url, seconds, switch, whereabouts
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
            f"{entry}, the URL of the database {alias!r}{whereabouts(url)}: weight={weight} must be a whole number "
            "above 0. Mend it in .env; a replica with weight=2 serves twice the requests of one with weight=1."
        )
    # In tests the replicas are the primary's test database.
    return {**config, "ENGINE": "dbrouting.replica_backend", "TEST": {"MIRROR": PRIMARY_ALIAS}}, weight


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

# Apps whose rows must never be old: a replica would log people out, honour a session that was revoked, bring back what
# was deleted from a cache in the database, whose table has the label django_cache, or hand out a task that is done.
PRIMARY_ONLY_APPS = {"accounts", "admin", "auth", "contenttypes", "django_cache", "django_tasks_database", "sessions"}

# After a write its author's next requests read a replica only if it has replayed the write, told by the servers' own
# positions. False for servers that tell none, such as Aurora's: then they read the primary for PRIMARY_PIN_SECONDS,
# more than a replica ever lags behind; 0 leaves only the rest of the writing request on the primary.
REPLICA_POSITIONS = switch("REPLICA_POSITIONS", default=True)
PRIMARY_PIN_SECONDS = seconds("PRIMARY_PIN_SECONDS", default=10)
# How long a client remembers the position; longer than a replica ever lags, but it costs next to nothing.
PRIMARY_PIN_COOKIE = "primary_pin"
PRIMARY_PIN_COOKIE_AGE = seconds("PRIMARY_PIN_COOKIE_AGE", default=3600)
# The header that does the cookie's work for clients without cookies, both ways, such as "X-Primary-Pin"; "" for none.
PRIMARY_PIN_HEADER = env.str("PRIMARY_PIN_HEADER", default="")

# A replica that fails, or lags more than so many seconds, is not chosen until it has been well for the cooldown. Every
# process looks after its replicas so often; with 0 it never looks, and hears of failures from its own reads alone.
REPLICA_MAX_LAG_SECONDS = seconds("REPLICA_MAX_LAG_SECONDS", default=30.0)
REPLICA_CHECK_SECONDS = seconds("REPLICA_CHECK_SECONDS", default=2.0)
REPLICA_COOLDOWN_SECONDS = seconds("REPLICA_COOLDOWN_SECONDS", default=10.0)

DATABASE_ROUTERS = ["dbrouting.overrides.OverrideRouter", "dbrouting.routers.PrimaryReplicaRouter"]
DATABASE_MIDDLEWARE = ["dbrouting.middleware.PrimaryPinningMiddleware"]
DATABASE_APPS: list[str] = []
DATABASE_URLS = ["dbrouting.health_urls"]
DATABASE_TARGETS = "dbrouting.replica_targets.ReplicaTargets"

# Load balancers ask without TLS, and take a redirection for an answer.
SECURE_REDIRECT_EXEMPT = ["^healthz$"]
