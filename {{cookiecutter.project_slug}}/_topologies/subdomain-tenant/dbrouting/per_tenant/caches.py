"""Keys for caches that all sites share: settings.CACHES names one of these functions as each cache's KEY_FUNCTION.

Fragments, cached pages and cached sessions follow their cache. Only keys are kept apart: ``cache.clear()`` empties the
cache for everybody, and a site that fills it pushes out the others' entries.
"""

from dbrouting.tenant_context import site_id


def site_key(key: str, prefix: str, version: int) -> str:
    """A key of the active site; where none is, there is no key, and so neither reading nor writing."""
    return f"{site_id()}:{prefix}:{version}:{key}"


def shared_key(key: str, prefix: str, version: int) -> str:
    """A key that is the same on every site, on purpose: for what no site would mind the others to see."""
    return f"everybody:{prefix}:{version}:{key}"
