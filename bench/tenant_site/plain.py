"""Plain Django with a single database: a connection that persists, the same apps and the same middleware.

The peers' settings begin with these.
"""

from contextlib import AbstractContextManager, nullcontext

from config import settings as ours

AUTH_USER_MODEL = ours.AUTH_USER_MODEL
DEFAULT_AUTO_FIELD = ours.DEFAULT_AUTO_FIELD
SECRET_KEY = ours.SECRET_KEY
TEMPLATES = ours.TEMPLATES
SITE_APPS = [
    "accounts",
    "catalogue",
    "orders",
    "django.contrib.admin.apps.SimpleAdminConfig",  # it has tables; the pages are the project's own
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
INSTALLED_APPS = [*SITE_APPS, "django.contrib.messages"]
MIDDLEWARE = [name for name in ours.MIDDLEWARE if name.startswith("django.")]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tenant_site.page"
PLACE = {key: ours.DATABASES["default"][key] for key in ("HOST", "PORT", "USER", "PASSWORD")}
DATABASES = {
    "default": {**PLACE, "ENGINE": "django.db.backends.postgresql", "NAME": "bench_plain", "CONN_MAX_AGE": None}
}
MAKE_TENANT = "tenant_site.plain.make_tenant"


def make_tenant(name: str) -> AbstractContextManager[object]:
    """There is one site, at whatever host."""
    return nullcontext()
