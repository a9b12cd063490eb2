"""Which database, and whose: tags for error trackers and log records. README.md has the recipes."""

import logging
import traceback

from django.db.utils import DatabaseErrorWrapper

from dbrouting.overrides import current_override
from dbrouting.topology_tags import topology_tags


def current_tags(error: BaseException | None = None, request: object = None) -> dict[str, str]:
    """What can be said of this moment without a query; nothing here raises.

    A block that has ended says nothing any more, so ask before the request has: where the error is caught, or in what
    Django calls for it. Two things last longer. ``error`` knows the database that it came from, if it came from one;
    and a ``request`` what its middleware found: Django logs answers from 400 on when that is over.
    """
    tags = topology_tags(request)
    override = current_override()
    if override and override.read:
        tags["database.alias"] = override.read
    if failed := alias_of(error):
        tags["database.alias"] = failed
    return tags


def alias_of(error: BaseException | None) -> str | None:
    """The database that raised ``error``, if one did: on its way to us it went through what Django wraps errors in."""
    for frame, _ in traceback.walk_tb(error.__traceback__ if error else None):
        passed = frame.f_locals.get("self")
        if isinstance(passed, DatabaseErrorWrapper):
            alias: str = passed.wrapper.alias  # type: ignore[attr-defined]  # Django's own, without a stub
            return alias
    return None


class TagsFilter(logging.Filter):
    """Gives each record ``tags``, a text for formats such as ``"%(levelname)s [%(tags)s] %(message)s"``.

    It belongs on a handler that works where the record is made: a queue's listener is in another thread.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        tags = current_tags(error, getattr(record, "request", None))
        record.tags = " ".join(f"{name}={value}" for name, value in tags.items())
        return True
