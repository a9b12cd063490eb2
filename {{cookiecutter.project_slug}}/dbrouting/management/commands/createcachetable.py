from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.management.commands import createcachetable
from django.db import router

from dbrouting.commands import OnEveryDatabase


class Command(OnEveryDatabase, createcachetable.Command):
    """The table is where the routers have the app label ``django_cache``."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not args and not any(isinstance(caches[name], BaseDatabaseCache) for name in settings.CACHES):
            self.stderr.write("No cache of settings.CACHES is in a database.", self.style.WARNING)
            return
        super().handle(*args, **options)

    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        return router.allow_migrate_model(alias, BaseDatabaseCache("any", {}).cache_model_class)
