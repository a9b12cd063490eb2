"""A new schema is a clone of a reference, as its documentation advises for many tenants."""

from contextlib import AbstractContextManager

from tenant_site.plain import *  # noqa: F403  everything else as it is
from tenant_site.plain import DATABASES, MIDDLEWARE, ROOT_URLCONF, SITE_APPS

TENANTS = {
    "public": {"APPS": ["django_pgschemas", "tenant_site.by_django_pgschemas", "django.contrib.contenttypes"]},
    "default": {
        "TENANT_MODEL": "by_django_pgschemas.Tenant",
        "DOMAIN_MODEL": "by_django_pgschemas.Domain",
        "APPS": [app for app in SITE_APPS if app != "django.contrib.contenttypes"],
        "URLCONF": ROOT_URLCONF,
        "CLONE_REFERENCE": "reference",
    },
}
INSTALLED_APPS = [*TENANTS["public"]["APPS"], *TENANTS["default"]["APPS"], "django.contrib.messages"]
DATABASE_ROUTERS = ["django_pgschemas.routers.TenantAppsRouter"]
DATABASES["default"] |= {"ENGINE": "django_pgschemas.postgresql", "NAME": "bench_django_pgschemas"}
MIDDLEWARE = ["django_pgschemas.routing.middleware.DomainRoutingMiddleware", *MIDDLEWARE]
MAKE_TENANT = "tenant_site.by_django_pgschemas.settings.make_tenant"


def make_tenant(name: str) -> AbstractContextManager[object]:
    from tenant_site.by_django_pgschemas.models import Domain, Tenant

    tenant = Tenant(schema_name=name)
    tenant.save(verbosity=0)
    Domain.objects.create(domain=f"{name}.localhost", tenant=tenant)
    return tenant
