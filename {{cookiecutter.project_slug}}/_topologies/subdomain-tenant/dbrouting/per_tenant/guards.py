"""All that changes something of Django's by being imported, in one place; ``dbrouting.topology_checks`` imports it."""

from dbrouting.per_tenant import (  # noqa: F401  importing them does it
    atomic_requests,
    checks,
    raw_sql,
    remembered_rows,
    sessions,
    task_checks,
    tokens,
)
