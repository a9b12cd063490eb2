"""Show a person the routing at work."""

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Model


def origins_of(*groups: Iterable[object]) -> dict[str, list[str]]:
    """Which database each kind of row came from: ``{"orders_db": ["order lines", "orders"]}``.

    Every page shows it in its footer, so that you see the routing at work. Groups are read here at the
    latest: a queryset keeps the rows it reads. What is not a row, such as an anonymous user, is left out.
    """
    origins = defaultdict(set)
    for group in groups:
        for row in group:
            if isinstance(row, Model):
                origins[str(row._state.db)].add(str(row._meta.verbose_name_plural))
    return {alias: sorted(origins[alias]) for alias in sorted(origins)}
