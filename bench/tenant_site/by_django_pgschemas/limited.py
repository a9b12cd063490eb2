"""With its documented option that sets ``search_path`` only where it changes."""

from tenant_site.by_django_pgschemas.settings import *  # noqa: F403  everything else as it is

PGSCHEMAS_LIMIT_SET_CALLS = True
