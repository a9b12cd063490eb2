"""Whose site this code works for: a tenant's, the shared one, or nobody's.

The answer is an immutable frame in a ``ContextVar``: each task and thread has its own, nothing that one of them does
can change another's. Nobody's is where everything starts, and there the routers refuse to answer.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, NamedTuple, Optional, ParamSpec, Protocol, Self, TypeVar, cast

from django.db.models import Model

P = ParamSpec("P")
R = TypeVar("R")


class TenantLike(Protocol):
    """A row of the tenants' table, or what this module made of one."""

    @property
    def id(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def alias(self) -> str: ...


@dataclass(frozen=True)
class CurrentTenant:
    """Who the active tenant is. A plain value: a model instance would be bound to the shared database.

    A static route names an alias without asking the table, so its tenant has no ``id``.
    """

    id: str | None
    name: str
    alias: str

    @classmethod
    def of(cls, tenant: TenantLike) -> "CurrentTenant":
        return cls(tenant.id and str(tenant.id), tenant.name, tenant.alias)


class NoActiveTenantError(RuntimeError):
    """A query for a table that every tenant has, while no tenant is active."""

    def __init__(self, model: type[Model]) -> None:
        super().__init__(
            f"{model._meta.label} is in each tenant's database, and no tenant is active. Put the query inside "
            "`with tenant_context(tenant):` (dbrouting.tenant_context), give `--tenant NAME` to the command, or carry "
            "the context into a thread or executor by carry_context() (dbrouting.contexts). For the shared site's "
            "own users and sessions: `with shared_context():`."
        )


class TenantSwitchError(RuntimeError):
    """Code that works for one tenant reached for another, or for the shared site."""


class _Frame(NamedTuple):
    """What one block decided; ``tenant`` is ``None`` for the shared site."""

    tenant: CurrentTenant | None
    owner: "_Site"
    outer: Optional["_Frame"]


_active: ContextVar[_Frame | None] = ContextVar("tenant_context", default=None)


def get_current_tenant() -> CurrentTenant | None:
    """The active tenant; ``None`` on the shared site and where nothing was said."""
    frame = _active.get()
    return frame and frame.tenant


def is_shared_context() -> bool:
    """Whether "no tenant" was said on purpose."""
    frame = _active.get()
    return frame is not None and frame.tenant is None


class _Site:
    """A context manager, and a decorator for functions and coroutine functions.

    One instance may be entered many times, by many threads and tasks at once.
    """

    def __init__(self, tenant: CurrentTenant | None, *, switch: bool) -> None:
        self.tenant = tenant
        self.switch = switch

    def __enter__(self) -> Self:
        frame = _active.get()
        if frame and frame.tenant and frame.tenant != self.tenant and not self.switch:
            raise TenantSwitchError(
                f"The tenant {frame.tenant.name!r} is active; {self} inside it would mix two sites' sessions, cache "
                "and log records. Leave its block first, or pass switch=True if you mean it."
            )
        _active.set(_Frame(self.tenant, self, frame))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = _active.get()
        if frame is None or frame.owner is not self:
            raise RuntimeError(
                f"{self} ends where it did not begin: a generator that yields inside the block ran in someone else's "
                "context. Do the queries inside the block and yield outside."
            )
        _active.set(frame.outer)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{self} can't decorate the generator {function.__qualname__}(): its body runs between other people's "
                "queries. Return a list, or put a `with` block around the queries inside it."
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def inner_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast(Callable[P, R], inner_async)

        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return inner


class tenant_context(_Site):  # noqa: N801  a function to those who use it
    """Work for ``tenant``, a row of the tenants' table or a ``CurrentTenant``.

    Inside another tenant's block it raises, unless ``switch=True``. A query set is routed when it is evaluated:
    evaluate it inside.
    """

    def __init__(self, tenant: TenantLike, *, switch: bool = False) -> None:
        super().__init__(CurrentTenant.of(tenant), switch=switch)

    def __str__(self) -> str:
        return f"tenant_context({self.tenant and self.tenant.name!r})"


class shared_context(_Site):  # noqa: N801  likewise
    """Work for the shared site: no tenant, on purpose."""

    def __init__(self, *, switch: bool = False) -> None:
        super().__init__(None, switch=switch)

    def __str__(self) -> str:
        return "shared_context()"
