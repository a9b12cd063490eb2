from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.management.commands import clearsessions
from django.db import router
from django.db.models import Model

from dbrouting.commands import OnEveryDatabase


class Command(OnEveryDatabase, clearsessions.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if session_model() is None:  # the sessions are in files, a cache or cookies
            clearsessions.Command.handle(self, **options)
        else:
            super().handle(*args, **options)

    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        model = session_model()
        return model is not None and router.allow_migrate_model(alias, model)


def session_model() -> type[Model] | None:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    model: type[Model] | None = store.get_model_class() if hasattr(store, "get_model_class") else None
    return model
