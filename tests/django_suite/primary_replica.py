"""A primary and a replica that hears of no write: ours in place of the router that Django's tests have for that.

Writes neither pin nor are refused on the replica. Django's tests make rows on either database and read the old ones.
"""

from django.db.backends.signals import connection_created
from multiple_database import routers
from shim import *  # noqa: F403  its settings, with what differs below
from shim import has_tables_everywhere

from dbrouting.pinning import watch_writes
from dbrouting.routers import PrimaryReplicaRouter

PRIMARY_ALIAS = "default"
REPLICA_DATABASES = ["other"]
PRIMARY_ONLY_APPS: set[str] = set()

connection_created.disconnect(watch_writes)
routers.TestRouter = type("TestRouter", (PrimaryReplicaRouter,), {"allow_migrate": has_tables_everywhere})
