"""Plain Django which asks the kept connection first whether it is alive, as a generated project does."""

from tenant_site.plain import *  # noqa: F403  everything else as it is
from tenant_site.plain import DATABASES

DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
