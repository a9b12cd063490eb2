"""The example of Django's documentation: an empty ``default``, a primary, two replicas and a database for users."""

from typing import Any

from django.db.models import Model

from config import engine
from config.env import database
from config.settings import *  # noqa: F403  everything else as it is
from dbrouting.mapping import DatabaseMapping

PRIMARY_ALIAS = "primary"
REPLICA_DATABASES = ["replica1", "replica2"]  # type: ignore[assignment]  # a list is as good as weights
_MIRROR = {"TEST": {"MIRROR": "primary"}}

DATABASES = DatabaseMapping(
    {
        "default": {},
        "auth_db": database("auth_db", "AUTH_DATABASE_URL"),
        "primary": database("primary", "DATABASE_URL"),
        "replica1": {**engine.read_only(database("replica1", "REPLICA1_URL")), **_MIRROR},
        "replica2": {**engine.read_only(database("replica2", "REPLICA2_URL")), **_MIRROR},
    }
)
DATABASE_ROUTERS = [
    "dbrouting.overrides.OverrideRouter",
    "published_example.AuthRouter",
    "dbrouting.routers.PrimaryReplicaRouter",
]


class AuthRouter:
    """Users, and what refers to them, in a database of their own."""

    labels = frozenset({"accounts", "admin", "auth", "contenttypes", "sessions"})

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return "auth_db" if model._meta.app_label in self.labels else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return "auth_db" if model._meta.app_label in self.labels else None

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return True if {first._meta.app_label, second._meta.app_label} <= self.labels else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if app_label in self.labels or db == "auth_db":
            return db == "auth_db" and app_label in self.labels
        return None
