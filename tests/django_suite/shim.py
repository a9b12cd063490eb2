"""Settings for Django's ``runtests.py`` in a baked project: what the project replaces in every topology.

``runtests.py`` brings the other settings, and many tests the routers that they are about.
"""

from typing import Any

from django.db import router
from django.db.models import Model
from django.db.utils import ConnectionRouter

from config.env import database
from dbrouting import overrides, streaming  # noqa: F401  as the project's own AppConfig does
from dbrouting.mapping import DatabaseMapping

DATABASES = DatabaseMapping({alias: database(alias, f"{alias.upper()}_URL") for alias in ("default", "other")})
DATABASE_ROUTERS: list[str] = []

SECRET_KEY = "a secret of tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False


class OverridableRouter(ConnectionRouter):
    """``OverrideRouter`` before whatever routers a test brings: outside of a block nobody may notice it."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return overrides.OverrideRouter().db_for_read(model, **hints) or super().db_for_read(model, **hints)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return overrides.OverrideRouter().db_for_write(model, **hints) or super().db_for_write(model, **hints)


router.__class__ = OverridableRouter


def has_tables_everywhere(*args: object, **hints: object) -> bool:
    """For ``allow_migrate``: Django's tests want every table in both databases, and nothing replicates here."""
    return True
