from contextlib import AbstractContextManager

from tenant_site.plain import *  # noqa: F403  everything else as it is
from tenant_site.plain import DATABASES, MIDDLEWARE, SITE_APPS

SHARED_APPS = ["django_tenants", "tenant_site.by_django_tenants", "django.contrib.contenttypes"]
TENANT_APPS = SITE_APPS
INSTALLED_APPS = [*SHARED_APPS, *(app for app in TENANT_APPS if app not in SHARED_APPS), "django.contrib.messages"]
TENANT_MODEL = "by_django_tenants.Client"
TENANT_DOMAIN_MODEL = "by_django_tenants.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DATABASES["default"] |= {"ENGINE": "django_tenants.postgresql_backend", "NAME": "bench_django_tenants"}
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *MIDDLEWARE]
MAKE_TENANT = "tenant_site.by_django_tenants.settings.make_tenant"


def make_tenant(name: str) -> AbstractContextManager[object]:
    from tenant_site.by_django_tenants.models import Client, Domain

    tenant = Client(schema_name=name)
    tenant.save(verbosity=0)
    Domain.objects.create(domain=f"{name}.localhost", tenant=tenant, is_primary=True)
    return tenant
