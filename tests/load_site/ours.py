"""The project as it is, with the views of the load tests."""

from config.settings import *  # noqa: F403  everything else as it is

ROOT_URLCONF = "load_site.urls"
