from django.apps import AppConfig


class DbRoutingConfig(AppConfig):
    name = "dbrouting"
    verbose_name = "Database routing"

    def ready(self) -> None:
        from dbrouting import checks, overrides  # noqa: F401  registers the checks, makes in_database safe
