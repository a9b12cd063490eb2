"""``in_database``, the manual override, from django-dynamic-db-router, made safe for threads and async code.

The library keeps its state in lists inside a ``threading.local``, which all the requests that an event loop serves at
once share. Here it is a chain of frames of each task's own. The library's names lead here too, so that
``from dynamic_db_router import in_database`` is safe wherever and whenever it was imported.
"""

import copy
from typing import Any, NamedTuple

import dynamic_db_router
from django.db import connections
from django.db.models import Model, QuerySet
from django.utils.connection import ConnectionDoesNotExist
from dynamic_db_router import router as library

from dbrouting.blocks import Block, Frames
from dbrouting.mapping import DatabaseMapping, alias_matches, borrowed_alias


class ReadOnlyOverrideError(RuntimeError):
    """A write inside ``in_database(alias)``, which only redirects reads unless it says ``write=True``."""


class Override(NamedTuple):
    """What an ``in_database`` block decided; ``None`` leaves the decision to the next router."""

    read: str | None
    write: str | None


class in_database(Block[Override]):  # noqa: N801  the library's name, which its users type
    """Route queries to ``database``, an alias or a configuration like those in ``DATABASES``.

    ``read`` and ``write`` say what it redirects: reads only, unless told otherwise. ``.using(alias)`` still wins, and
    so does what may never move. A query set is routed when it is *evaluated*: one that leaves the ``with`` block
    unevaluated is routed afresh, one that a decorated function returns keeps the database.
    """

    frames: Frames[Override] = Frames("in_database")

    def __init__(self, database: str | dict[str, Any], read: bool = True, write: bool = False) -> None:
        if not isinstance(database, str | dict):
            raise ValueError(f"in_database() takes an alias or a configuration dictionary, not {database!r}.")
        self.config = copy.deepcopy(database) if isinstance(database, dict) else None
        self.database = database if isinstance(database, str) else borrowed_alias(database)
        self.read = read
        self.write = write

    def __str__(self) -> str:
        return f"in_database({self.database!r})"

    def decide(self) -> Override:
        self.hold()
        outer = current_override()
        read = self.database if self.read else outer and outer.read
        write = self.database if self.write else outer and outer.write
        return Override(read, write)

    def undo(self, value: Override) -> None:
        self.release()

    def hold(self) -> None:
        if self.config is not None:
            mapping_in_use().lend(self.config)
        elif self.database not in connections.settings:
            known = ", ".join(connections.settings)
            raise ConnectionDoesNotExist(f"{self}: there is no such alias; DATABASES lists {known}.")

    def release(self) -> None:
        if self.config is not None:
            mapping_in_use().give_back(self.database)

    def finished(self, result: Any) -> Any:
        """Rows of a configuration's database can't be fetched once it is given back."""
        if self.config is not None and isinstance(result, QuerySet):
            len(result)
        return super().finished(result)


innermost_override = in_database.frames.innermost


def mapping_in_use() -> DatabaseMapping:
    if isinstance(connections.settings, DatabaseMapping):
        return connections.settings
    raise TypeError("in_database({…}) needs settings.DATABASES to be a dbrouting.mapping.DatabaseMapping.")


def current_override() -> Override | None:
    """What the innermost ``in_database`` block around this line decided; ``None`` outside of any."""
    frame = innermost_override()
    return frame.value if frame else None


class OverrideRouter:
    """Answers inside an ``in_database`` block and has no opinion outside, so it can stand before other routers."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        frame = innermost_override()
        return frame.value.read if frame else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        frame = innermost_override()
        return frame.value.write if frame else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """A migration's ``hints={"runs_on": alias}`` keeps an operation off every other database."""
        pattern = hints.get("runs_on")
        return None if pattern is None or alias_matches(db, [pattern]) else False


class StrictOverrideRouter(OverrideRouter):
    """The same, but a write in a block that redirects only reads raises: it would land in another database."""

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        override = current_override()
        if override is None or override.write or not override.read:
            return override and override.write
        raise ReadOnlyOverrideError(
            f"Writing {model._meta.label} inside in_database({override.read!r}), which redirects only reads. "
            f"Write in_database({override.read!r}, write=True), or .using(alias) for this one query."
        )


# Under the library's names are ours from here on; whoever imported its classes before gets ours by calling them.
for theirs, ours in ((library.in_database, in_database), (library.DynamicDbRouter, OverrideRouter)):
    theirs.__new__ = lambda cls, *args, ours=ours, **kwargs: ours(*args, **kwargs)
    for module in (dynamic_db_router, library):
        setattr(module, theirs.__name__, ours)
