"""Tenants of this load test with a row each, which bears their name: ``python -m tenant_load_site.make HOW_MANY``."""

import sys

import django


def main(how_many: int) -> None:
    django.setup()
    from catalogue.models import Category
    from dbrouting.tenant_context import tenant_context
    from tenants.services import create_tenant

    for number in range(how_many):
        tenant = create_tenant(f"t{number}")
        with tenant_context(tenant):
            Category.objects.create(name=tenant.name, slug="own")


if __name__ == "__main__":
    main(int(sys.argv[1]))
