"""``in_database``, the manual override, from django-dynamic-db-router, made safe for threads and async code.

The library keeps its state in lists inside a ``threading.local``: all the requests that an event loop serves at once
share them. Here the state is an immutable frame in a ``ContextVar``. The library's own class gets these methods, so
``from dynamic_db_router import in_database`` is safe wherever and whenever it was imported.
"""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, NamedTuple, Optional, ParamSpec, TypeVar, cast

from django.db import connections
from django.db.models import Model, QuerySet
from django.utils.connection import ConnectionDoesNotExist
from dynamic_db_router import router as library

from dbrouting.mapping import DatabaseMapping, alias_matches, borrowed_alias

P = ParamSpec("P")
R = TypeVar("R")


class ReadOnlyOverrideError(RuntimeError):
    """A write inside ``in_database(alias)``, which only redirects reads unless it says ``write=True``."""


class Override(NamedTuple):
    """What one ``in_database`` block decided; ``None`` leaves the decision to the next router."""

    read: str | None
    write: str | None
    owner: "in_database"
    outer: Optional["Override"]
    loan: AbstractContextManager[str] | None


_active: ContextVar[Override | None] = ContextVar("in_database", default=None)


def current_override() -> Override | None:
    """The innermost ``in_database`` block around this line, in this thread or task; ``None`` outside of any."""
    return _active.get()


class in_database:  # noqa: N801  the library's name, which its users type
    """Route queries to ``database``, an alias or a configuration like those in ``DATABASES``.

    A context manager, and a decorator for functions and coroutine functions. ``read`` and ``write`` say what it
    redirects: reads only, unless told otherwise. ``.using(alias)`` still wins, and so does what may never move.
    A query set is routed when it is *evaluated*: one that leaves the ``with`` block unevaluated is routed afresh,
    one that a decorated function returns keeps the database.
    """

    def __init__(self, database: str | dict[str, Any], read: bool = True, write: bool = False) -> None:
        if not isinstance(database, str | dict):
            raise ValueError(f"in_database() takes an alias or a configuration dictionary, not {database!r}.")
        self.config = database if isinstance(database, dict) else None
        self.database = database if isinstance(database, str) else borrowed_alias(database)
        self.read = read
        self.write = write

    def __enter__(self) -> "in_database":
        loan = self._borrow()
        outer = _active.get()
        read = self.database if self.read else outer and outer.read
        write = self.database if self.write else outer and outer.write
        _active.set(Override(read, write, self, outer, loan))
        return self

    def _borrow(self) -> AbstractContextManager[str] | None:
        if self.config is not None:
            if not isinstance(connections.settings, DatabaseMapping):
                raise TypeError("in_database({…}) needs settings.DATABASES to be a dbrouting.mapping.DatabaseMapping.")
            loan = connections.settings.borrowed(self.config)
            loan.__enter__()
            return loan
        if self.database not in connections.settings:
            known = ", ".join(connections.settings)
            raise ConnectionDoesNotExist(f"in_database({self.database!r}): no such alias; DATABASES lists {known}.")
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = _active.get()
        if frame is None or frame.owner is not self:
            raise RuntimeError(
                f"in_database({self.database!r}) ends where it did not begin: a generator that yields inside the "
                "block ran in someone else's context. Evaluate the queries inside the block and yield outside."
            )
        _active.set(frame.outer)
        if frame.loan is not None:
            frame.loan.__exit__(None, None, None)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"@in_database can't decorate the generator {function.__qualname__}(): its body runs between other "
                "people's queries. Return a list, or put `with in_database(…)` around the queries inside it."
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def inner_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return self._keep_database(await function(*args, **kwargs))

            return cast(Callable[P, R], inner_async)

        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return cast(R, self._keep_database(function(*args, **kwargs)))

        return inner

    def _keep_database(self, result: Any) -> Any:
        """A query set that nobody has evaluated yet would be routed again, outside of the block."""
        if self.read and isinstance(result, QuerySet):
            state = vars(result)
            return result.using(self.database) if state["_db"] is None and state["_result_cache"] is None else result
        return result


class OverrideRouter:
    """Answers inside an ``in_database`` block and has no opinion outside, so it can stand before other routers."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        override = _active.get()
        return override.read if override else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        override = _active.get()
        return override.write if override else None

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """A migration's ``hints={"runs_on": alias}`` keeps an operation off every other database."""
        pattern = hints.get("runs_on")
        return None if pattern is None or alias_matches(db, [pattern]) else False


class StrictOverrideRouter(OverrideRouter):
    """The same, but a write in a block that redirects only reads raises: it would land in another database."""

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        override = _active.get()
        if override is None or override.write or not override.read:
            return override and override.write
        raise ReadOnlyOverrideError(
            f"Writing {model._meta.label} inside in_database({override.read!r}), which redirects only reads. "
            f"Write in_database({override.read!r}, write=True), or .using(alias) for this one query."
        )


def install() -> None:
    """Give the library's classes the methods above, in place: whoever imported them before is served too."""
    for ours, theirs in ((in_database, library.in_database), (OverrideRouter, library.DynamicDbRouter)):
        for name, member in vars(ours).items():
            if name not in {"__dict__", "__weakref__", "__module__"}:
                setattr(theirs, name, member)


install()
