"""The project as it is, but for the page."""

from contextlib import AbstractContextManager

from config.settings import *  # noqa: F403  everything else as it is

ROOT_URLCONF = "tenant_site.page"
MAKE_TENANT = "tenant_site.ours.make_tenant"


def make_tenant(name: str) -> AbstractContextManager[object]:
    from dbrouting.tenant_context import tenant_context
    from tenants.services import create_tenant

    return tenant_context(create_tenant(name))
