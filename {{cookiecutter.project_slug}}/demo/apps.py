from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Sample data for the sample apps; delete this app together with them."""

    name = "demo"
