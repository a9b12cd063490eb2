from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Registers the checks, and binds to the site what Django keeps for all alike.
        from dbrouting.per_tenant import atomic_requests, checks, raw_sql, sessions, sites, tokens  # noqa: F401
        from tenants import checks as task_checks  # noqa: F401
