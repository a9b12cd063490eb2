"""The project as it is, with the views of the load test."""

from config.settings import *  # noqa: F403  everything else as it is
from config.settings import BASE_DIR, TEMPLATES

ROOT_URLCONF = "tenant_load_site.urls"
TEMPLATES[0]["DIRS"].append(BASE_DIR / "tenant_load_site" / "templates")
TENANT_LOOKUP_SECONDS = 3600  # the shared database has enough to do
