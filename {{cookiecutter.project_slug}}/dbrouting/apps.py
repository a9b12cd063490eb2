from django.apps import AppConfig


class DbRoutingConfig(AppConfig):
    name = "dbrouting"
    verbose_name = "Database routing"

    def ready(self) -> None:
        # Registers the checks and makes in_database safe.
        from dbrouting import checks, overrides, topology_checks  # noqa: F401
