"""With its documented option that clones a schema instead of migrating a new one."""

from tenant_site.by_django_tenants.settings import *  # noqa: F403  everything else as it is

TENANT_BASE_SCHEMA = "t0"
TENANT_CREATION_FAKES_MIGRATIONS = True
