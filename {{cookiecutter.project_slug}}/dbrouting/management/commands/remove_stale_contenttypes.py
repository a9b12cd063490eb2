from typing import Any

from django.contrib.contenttypes.management.commands import remove_stale_contenttypes
from django.contrib.contenttypes.models import ContentType
from django.db import router

from dbrouting.commands import OnEveryDatabase


class Command(OnEveryDatabase, remove_stale_contenttypes.Command):
    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        return router.allow_migrate_model(alias, ContentType)
