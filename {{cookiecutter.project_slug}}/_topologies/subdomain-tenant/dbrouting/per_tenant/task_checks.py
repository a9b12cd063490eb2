"""System checks of background tasks, which run where no request has said whose they are."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register
from django.utils.module_loading import import_string

from dbrouting.checks import TAG

QUEUE, QUEUE_LABEL = "django_tasks_db", "django_tasks_database"
# They run a task where it is enqueued, or not at all.
WITHOUT_WORKER = ("ImmediateBackend", "DummyBackend")


@register(TAG)
def check_tasks_know_their_site(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A worker has no tenant, so these tasks would fail one by one, and only when they run."""
    return [
        checks.Warning(
            f"The tasks of TASKS[{alias!r}] don't know who enqueued them: {config['BACKEND']} keeps no tenant.",
            hint='Use "tenants.task_backends.TenantDatabaseBackend", or for_tenants() of the same module for a backend '
            "of your own.",
            id="dbrouting.W306",
        )
        for alias, config in getattr(settings, "TASKS", {}).items()
        if not keeps_site(config["BACKEND"])
    ]


def keeps_site(backend: str) -> bool:
    return backend.endswith(WITHOUT_WORKER) or hasattr(import_string(backend).task_class, "keeps_site")


@register(TAG)
def check_queue_is_shared(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """One worker looks into one table; in the tenants' databases there would be as many, and nobody to look."""
    if not apps.is_installed(QUEUE) or QUEUE_LABEL in settings.SHARED_APPS:
        return []
    return [
        checks.Error(
            f"{QUEUE_LABEL} is not in SHARED_APPS: each tenant would have a queue of its own, and no worker.",
            hint=f'Add "{QUEUE_LABEL}" to SHARED_APPS in config/databases.py.',
            id="dbrouting.E312",
        )
    ]
