from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tenants.migrating.state import after_migrate, before_migrate

        pre_migrate.connect(before_migrate, sender=self)  # once a run, not once for each app
        post_migrate.connect(after_migrate, sender=self)
