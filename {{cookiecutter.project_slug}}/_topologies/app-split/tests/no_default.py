"""The project with ``DATABASES["default"] = {}``, which Django allows once every app has a home elsewhere."""

from config.databases import DATABASE_APPS_MAPPING as MAPPING
from config.env import database
from config.settings import *  # noqa: F403  everything else as it is
from dbrouting.mapping import DatabaseMapping

DATABASES = DatabaseMapping(
    {
        "default": {},
        "auth_db": database("auth_db", "AUTH_DATABASE_URL"),
        "orders_db": database("orders_db", "ORDERS_DATABASE_URL"),
    }
)
DATABASE_APPS_MAPPING = {**MAPPING, "catalogue": "orders_db"}
