from django.apps import AppConfig

# Before any app's models are imported: they may use in_database, under the library's name.
from dbrouting import overrides, streaming  # noqa: F401


class DbRoutingConfig(AppConfig):
    name = "dbrouting"
    verbose_name = "Database routing"

    def ready(self) -> None:
        # Registers the checks, connects the routers' signal receivers.
        from dbrouting import checks, fixtures, routers, topology_checks  # noqa: F401

        fixtures.register()
