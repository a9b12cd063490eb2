"""An app-split project whose map is empty: every app lives on "default", and what ``using`` read stays elsewhere."""

from shim import *  # noqa: F403  its settings, with what differs below
from shim import has_tables_everywhere

from dbrouting.routers import AppSplitRouter

DATABASE_APPS_MAPPING: dict[str, str] = {}
DATABASE_ROUTERS = ["dbrouting.overrides.StrictOverrideRouter", "dbrouting.routers.AppSplitRouter"]

AppSplitRouter.allow_migrate = has_tables_everywhere
