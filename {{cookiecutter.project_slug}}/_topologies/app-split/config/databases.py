"""The databases, and which app lives where."""

from config.app_mapping import apps_switched_by_environment
from config.env import database, switch
from dbrouting.mapping import DatabaseMapping

DATABASES = DatabaseMapping(
    {
        "default": database("default", "DATABASE_URL"),
        "auth_db": database("auth_db", "AUTH_DATABASE_URL"),
        "orders_db": database("orders_db", "ORDERS_DATABASE_URL"),
    }
)

# App label → alias. An app that isn't named lives on "default", and `manage.py check` lists it.
DATABASE_APPS_MAPPING = {
    # Users, permissions, log entries and content types refer to each other, so they live together.
    "accounts": "auth_db",
    "admin": "auth_db",
    "auth": "auth_db",
    "contenttypes": "auth_db",
    "sessions": "auth_db",
    "billing": "default",
    "catalogue": "default",
    "orders": "orders_db",
}
DATABASE_APPS_MAPPING |= apps_switched_by_environment()

DATABASE_ROUTERS = ["dbrouting.overrides.StrictOverrideRouter", "dbrouting.routers.AppSplitRouter"]
DATABASE_MIDDLEWARE: list[str] = []
DATABASE_APPS = ["outbox", "billing"]
DATABASE_URLS: list[str] = []
DATABASE_TARGETS = "dbrouting.split_targets.AppSplitTargets"

# Whether a process handles the messages that it wrote to an outbox, or leaves all of them to `drain_outbox`.
OUTBOX_DRAIN_AFTER_COMMIT = switch("OUTBOX_DRAIN_AFTER_COMMIT", default=True)
