"""The project as it is, but for the page."""

from collections.abc import Callable

from config.settings import *  # noqa: F403  everything else as it is

ROOT_URLCONF = "tenant_site.page"
MAKE_TENANT = "tenant_site.ours.make_tenant"


def make_tenant(name: str, fill: Callable[[str], None]) -> None:
    from dbrouting.tenant_context import tenant_context
    from tenants.services import create_tenant

    with tenant_context(create_tenant(name)):
        fill(name)
