"""With its documented option that sets ``search_path`` once a request."""

from tenant_site.by_django_tenants.settings import *  # noqa: F403  everything else as it is

TENANT_LIMIT_SET_CALLS = True
