"""A tenant that stands for all, in checks: what the configuration says of one, it says of every one."""

from django.db import DEFAULT_DB_ALIAS, connections

from dbrouting.reachability import variable_of
from dbrouting.tenant_names import alias_of

# There need not be such a tenant.
SAMPLE_NAME = "sample"
SAMPLE = alias_of(SAMPLE_NAME)


def tenants_have_a_url() -> bool:
    """Whether the tenants' databases are configured apart from the shared one, and may have faults of their own."""
    return SAMPLE in connections.settings and variable_of(SAMPLE) != variable_of(DEFAULT_DB_ALIAS)
