"""The project as it is, with the views of the load tests."""

from config.settings import *  # noqa: F403  everything else as it is

ROOT_URLCONF = "load_site.urls"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"]},
}
