"""The shared site of a subdomain-tenant project, to which "default" belongs, and a tenant's database beside it."""

from shim import *  # noqa: F403  its settings, with what differs below
from shim import has_tables_everywhere

from dbrouting.routers import TenantRouter
from dbrouting.tenant_context import shared_context

SHARED_APPS: list[str] = []
EVERY_SITE_APPS = ["auth", "contenttypes", "multiple_database", "prefetch_related"]
DYNAMIC_DB_ROUTES = {"other.example.com": "other"}
DATABASE_ROUTERS = [
    "dbrouting.routers.SharedAppsRouter",
    "dbrouting.routers.TenantOverrideRouter",
    "dbrouting.routers.TenantRouter",
]

TenantRouter.allow_migrate = has_tables_everywhere
shared_context().__enter__()  # for the whole run
