"""The databases: one that is shared, and one for each tenant, found by its alias and never listed."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.env import database, env, number, seconds, switch
from config.isolation import tenant_config, tenant_server
from dbrouting.hosts import normalise_host
from dbrouting.mapping import DatabaseMapping
from dbrouting.tenant_names import is_database_prefix, key_of


def base_domain() -> str:
    written = env.str("TENANT_BASE_DOMAIN", default="localhost")
    host = normalise_host(written)
    if not host or host.startswith("www."):
        raise ImproperlyConfigured(
            f"TENANT_BASE_DOMAIN={written!r} in .env is no base domain: write a host name such as example.com, without "
            "scheme, port, path and leading www."
        )
    return host


# The site at this domain is the shared one; the tenants' sites are at its subdomains and at domains of their own.
TENANT_BASE_DOMAIN = base_domain()

# What a tenant has on the server is called <prefix>_<key>, where the key is the name it was made with;
# config/isolation.py makes it.
TENANT_DATABASE_PREFIX = env.str("TENANT_DATABASE_PREFIX", default="tenant")
if not is_database_prefix(TENANT_DATABASE_PREFIX):
    raise ImproperlyConfigured(
        f"TENANT_DATABASE_PREFIX={TENANT_DATABASE_PREFIX!r} in .env can't begin a name on the server: use lower-"
        "case letters, digits and _, a letter first but not pg_, at most 42 characters."
    )

SHARED_DATABASE = database("default", "DATABASE_URL")
TENANT_SERVER = tenant_server(
    database("tenant_*", "TENANT_DATABASE_URL") if env.str("TENANT_DATABASE_URL", default="") else SHARED_DATABASE
)

# How many connections each process may have to tenants' databases, in use and kept for the next request together: at
# least as many as threads of it work for tenants at once.
TENANT_MAX_CONNECTIONS = number("TENANT_MAX_CONNECTIONS", default=20, what="of connections")
if TENANT_MAX_CONNECTIONS < 1:
    raise ImproperlyConfigured(
        f"TENANT_MAX_CONNECTIONS={TENANT_MAX_CONNECTIONS} in .env is no budget: a request needs one."
    )


def tenant_database(alias: str) -> dict[str, Any] | None:
    """The configuration of a tenant's alias, from the alias alone: whether there is such a tenant isn't asked.

    A name that would mix it with the shared database has none.
    """
    key = key_of(alias)
    return None if key is None else tenant_config(TENANT_SERVER, f"{TENANT_DATABASE_PREFIX}_{key}", SHARED_DATABASE)


def place_beside_tenants(name: str) -> dict[str, Any]:
    """The configuration of ``<prefix>__<name>``, which is no tenant's: their keys hold no double underscore."""
    config = tenant_config(TENANT_SERVER, f"{TENANT_DATABASE_PREFIX}__{name}", SHARED_DATABASE)
    if config is None:
        raise ImproperlyConfigured(
            f"The shared database is called {TENANT_DATABASE_PREFIX}__{name}, which is kept for making tenants. Set "
            "TENANT_DATABASE_PREFIX in .env to another."
        )
    return config


def tenant_aliases() -> Iterable[str]:
    """The aliases of all tenants, from their table; for commands that act on every database."""
    from tenants.services import tenant_aliases

    return tenant_aliases()


DATABASES = DatabaseMapping({"default": SHARED_DATABASE}, resolve=tenant_database, unlisted=tenant_aliases)

# Apps whose tables exist once, in the shared database. Every request may use them, whichever site it is for.
SHARED_APPS = ["tenants", "reference"]

# Apps that the shared site needs too: their tables are in the shared database and in each tenant's, with rows of
# their own. An app that is in neither list has its tables in the tenants' databases only.
EVERY_SITE_APPS = ["accounts", "admin", "auth", "contenttypes", "sessions"]


def static_routes() -> dict[str, str]:
    remedy = (
        "it takes host=alias,host=alias, where a host has no port or path and an alias is tenant_<name>, or a database "
        "that config/databases.py lists."
    )
    try:
        written = env.dict("DYNAMIC_DB_ROUTES", default={})
    except ValueError:
        raise ImproperlyConfigured(f"DYNAMIC_DB_ROUTES in .env can't be read: {remedy}") from None
    for host, alias in written.items():
        if not normalise_host(host) or alias in ("default", "shared") or alias not in DATABASES:
            raise ImproperlyConfigured(f"DYNAMIC_DB_ROUTES in .env has {host}={alias}: {remedy}")
    return {normalise_host(host): alias for host, alias in written.items()}


# Host → alias, for the hosts that belong to a tenant whatever its row or the table of domains says: it wins over
# both, and costs no query. The alias may also be a listed database that was there before there were tenants.
DYNAMIC_DB_ROUTES = static_routes()

# Whether a tenant is served whose tables lack migrations of this code, as far as is known. A page that needs one of
# them fails then.
TENANT_SERVE_BEHIND = switch("TENANT_SERVE_BEHIND", default=False)

TENANT_LOOKUP = "tenants.lookup.find_tenant"
# For so long a process remembers whose site is at a host: then every worker knows of a change.
TENANT_LOOKUP_SECONDS = seconds("TENANT_LOOKUP_SECONDS", default=5.0)
# For so long it goes by what it remembers while the shared database can't be asked; sites that were closed in the last
# moment before it are served until then. At hosts that it doesn't remember the answer is 503.
TENANT_STALE_SECONDS = seconds("TENANT_STALE_SECONDS", default=60.0)
SHARED_URLCONF = "tenants.urls_shared"
# Answered at every host, known or not: load balancers ask at none of the sites.
TENANT_PROBE_PATHS = env.list("TENANT_PROBE_PATHS", default=["/healthz"])

DATABASE_ROUTERS = [
    "dbrouting.routers.SharedAppsRouter",
    "dbrouting.routers.TenantOverrideRouter",
    "dbrouting.routers.TenantRouter",
]
DATABASE_MIDDLEWARE = ["dbrouting.middleware.SubdomainTenantMiddleware"]
DATABASE_APPS = ["tenants", "reference"]
DATABASE_URLS = ["dbrouting.per_tenant.urls"]
DATABASE_TARGETS = "tenants.targets.TenantTargets"

# What dbrouting/per_tenant binds to one site: nothing of it is good on another, also where that is a copy.

SESSION_ENGINE = "dbrouting.per_tenant.sessions"
SIGNING_BACKEND = "dbrouting.per_tenant.tokens.SiteSigner"
STORAGES = {
    "default": {"BACKEND": "dbrouting.per_tenant.files.SiteStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Where the web server keeps /<site's id>/… of MEDIA_ROOT for itself, such as /uploads/: Django then tells it, by
# X-Accel-Redirect, which file a visitor of /media/ may have. Empty: outside of development nobody gets any from there.
TENANT_UPLOADS_PREFIX = env.str("TENANT_UPLOADS_PREFIX", default="")

# Keys are the site's own; in "shared" they are everybody's. Each cache must say which.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "dbrouting.per_tenant.caches.site_key",
    },
    "shared": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "shared",
        "KEY_FUNCTION": "dbrouting.per_tenant.caches.shared_key",
    },
}

# Each view in a transaction of its own site's database. Asynchronous views can't be.
TENANT_ATOMIC_REQUESTS = switch("TENANT_ATOMIC_REQUESTS", default=False)

# Django's logging, with the tenant in each line.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "tags": {"()": "dbrouting.tags.TagsFilter"},
        "in_production": {"()": "django.utils.log.RequireDebugFalse"},
    },
    "formatters": {
        "tags": {"format": "%(asctime)s %(levelname)s %(name)s [%(tags)s] %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["tags"], "formatter": "tags"},
        "mail_admins": {
            "class": "django.utils.log.AdminEmailHandler",
            "filters": ["in_production"],
            "level": "ERROR",
        },
    },
    "loggers": {
        "django": {"handlers": ["console", "mail_admins"], "level": "INFO", "propagate": False},
    },
    "root": {"handlers": ["console"], "level": "INFO"},
}
