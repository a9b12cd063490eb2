from django.apps import AppConfig


class DbRoutingConfig(AppConfig):
    name = "dbrouting"
    verbose_name = "Database routing"

    def ready(self) -> None:
        # Makes in_database safe, connects the routers' signal receivers, registers the checks.
        from dbrouting import checks, overrides, routers, topology_checks  # noqa: F401
