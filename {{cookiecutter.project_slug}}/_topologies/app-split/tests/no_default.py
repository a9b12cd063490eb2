"""The project with ``DATABASES["default"] = {}``, which Django allows once every app has a home elsewhere."""

from config.databases import DATABASE_APPS_MAPPING as MAPPING
from config.databases import DATABASES as LISTED
from config.settings import *  # noqa: F403  everything else as it is
from dbrouting.mapping import DatabaseMapping

DATABASES = DatabaseMapping({**LISTED, "default": {}})
DATABASE_APPS_MAPPING = {label: "orders_db" if alias == "default" else alias for label, alias in MAPPING.items()}
