"""The same sessions, read from the cache SESSION_CACHE_ALIAS first, whose keys must be the site's own."""

from django.contrib.sessions.backends import cached_db

from dbrouting.per_tenant.sessions import BoundToSite


class SessionStore(BoundToSite, cached_db.SessionStore):
    """Sessions in the database and, for reading, in a cache."""
