from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class OutboxConfig(AppConfig):
    """In every database that migrations make tables in: a message is written where the change is that it tells of."""

    name = "outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from outbox import cascades

        cascades.connect()
        autodiscover_modules("handlers")
