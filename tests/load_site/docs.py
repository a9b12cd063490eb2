"""The router of Django's documentation, and Django's own backend: what the tests must see fail."""

import random
from typing import Any

from config import engine
from config.databases import DATABASE_MIDDLEWARE, DATABASES, PRIMARY_ALIAS, REPLICA_DATABASES
from load_site.ours import *  # noqa: F403  everything else as it is
from load_site.ours import MIDDLEWARE

MIDDLEWARE = [name for name in MIDDLEWARE if name not in DATABASE_MIDDLEWARE]
DATABASE_ROUTERS = ["load_site.docs.PrimaryReplicaRouter"]
for _alias in REPLICA_DATABASES:
    DATABASES[_alias]["ENGINE"] = engine.ENGINE


class PrimaryReplicaRouter:
    def db_for_read(self, model: type, **hints: Any) -> str:
        return random.choice(list(REPLICA_DATABASES))

    def db_for_write(self, model: type, **hints: Any) -> str:
        return PRIMARY_ALIAS
