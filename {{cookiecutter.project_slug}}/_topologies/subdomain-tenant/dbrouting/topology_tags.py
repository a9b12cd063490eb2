"""What ``current_tags`` says here: whose site it is."""

from django.db import DEFAULT_DB_ALIAS

from dbrouting.tenant_context import get_current_tenant, is_shared_context


def topology_tags(request: object) -> dict[str, str]:
    """The active tenant; where none is, and that not on purpose, the one that the middleware gave to ``request``."""
    if is_shared_context():
        return {"database.alias": DEFAULT_DB_ALIAS}
    tenant = get_current_tenant() or getattr(request, "tenant", None)
    return {"tenant": tenant.name, "database.alias": tenant.alias} if tenant else {}
