from collections.abc import Iterable

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# Before any app's models are imported: they may use in_database, under the library's name.
from dbrouting import overrides, streaming  # noqa: F401

SETTINGS = ("BASE_DIR", "DATABASE_TARGETS")


class DbRoutingConfig(AppConfig):
    name = "dbrouting"
    verbose_name = "Database routing"

    def ready(self) -> None:
        # Registers the checks, connects the routers' signal receivers.
        from dbrouting import checks, fixtures, routers, topology_checks  # noqa: F401

        fixtures.register()
        require_settings((*SETTINGS, *topology_checks.SETTINGS))


def require_settings(names: Iterable[str]) -> None:
    """What a project that took this package over has forgotten is said at the start, not by an AttributeError later."""
    missing = [name for name in names if not hasattr(settings, name)]
    if missing:
        raise ImproperlyConfigured(
            f"dbrouting needs settings that are missing: {', '.join(missing)}. BASE_DIR is the folder of manage.py; "
            "the others are in config/databases.py: write `from config.databases import *` in the settings."
        )
