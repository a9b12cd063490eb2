"""The primary and its replicas."""

from config.env import database
from config.replicas import *  # noqa: F403  what keeps the readers of replicas from old rows
from config.replicas import replicas_of
from dbrouting.mapping import DatabaseMapping

# The alias that takes every write. Any other will do, with DATABASES["default"] = {} beside it.
PRIMARY_ALIAS = "default"

_REPLICAS = replicas_of(PRIMARY_ALIAS)

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

DATABASE_ROUTERS = ["dbrouting.overrides.OverrideRouter", "dbrouting.routers.PrimaryReplicaRouter"]
DATABASE_MIDDLEWARE = ["dbrouting.middleware.PrimaryPinningMiddleware"]
DATABASE_APPS: list[str] = []
DATABASE_URLS = ["dbrouting.health_urls"]
DATABASE_TARGETS = "dbrouting.replica_targets.ReplicaTargets"

# Load balancers ask without TLS, and take a redirection for an answer.
SECURE_REDIRECT_EXEMPT = ["^healthz$"]
