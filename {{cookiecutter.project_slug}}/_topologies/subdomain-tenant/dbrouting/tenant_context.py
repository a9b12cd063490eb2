"""Whose site this code works for: a tenant's, the shared one, or nobody's.

Nobody's is where everything starts, and there the routers refuse to answer.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from dbrouting.blocks import Block, Frames


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
        return cls(None if tenant.id is None else str(tenant.id), tenant.name, tenant.alias)


class NoActiveTenantError(RuntimeError):
    """``what`` is each tenant's own, such as a row of a table that all of them have, and no tenant is active."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}, and no tenant is active. Put this "
            "inside `with tenant_context(tenant):` (dbrouting.tenant_context), give `--tenant NAME` to the "
            "command, or carry the context into a thread or executor by carry_context() (dbrouting.contexts). For the "
            "shared site's own users and sessions: `with shared_context():`."
        )


class TenantSwitchError(RuntimeError):
    """Code that works for one tenant reached for another, or for the shared site."""


class Site(Block["CurrentTenant | None"]):
    """A block that works for one site: a tenant's, or with ``None`` the shared one.

    Inside another tenant's block it raises, unless ``switch=True``. A query set is routed when it is evaluated:
    evaluate it inside.
    """

    frames: Frames[CurrentTenant | None] = Frames("tenant_context")

    def __init__(self, tenant: CurrentTenant | None, *, switch: bool) -> None:
        self.tenant = tenant
        self.switch = switch

    def decide(self) -> CurrentTenant | None:
        active = get_current_tenant()
        if active and active.alias != (self.tenant and self.tenant.alias) and not self.switch:
            raise TenantSwitchError(
                f"The tenant {active.name!r} is active; {self} inside it would mix two sites' sessions, cache and log "
                "records. Leave its block first, or pass switch=True if you mean it."
            )
        return self.tenant


class tenant_context(Site):  # noqa: N801  a function to those who use it
    """Work for ``tenant``, a row of the tenants' table or a ``CurrentTenant``."""

    tenant: CurrentTenant

    def __init__(self, tenant: TenantLike, *, switch: bool = False) -> None:
        super().__init__(CurrentTenant.of(tenant), switch=switch)

    def __str__(self) -> str:
        return f"tenant_context({self.tenant.name!r})"


class shared_context(Site):  # noqa: N801  likewise
    """Work for the shared site: no tenant, on purpose."""

    def __init__(self, *, switch: bool = False) -> None:
        super().__init__(None, switch=switch)

    def __str__(self) -> str:
        return "shared_context()"


def get_current_tenant() -> CurrentTenant | None:
    """The active tenant; ``None`` on the shared site and where nothing was said."""
    frame = Site.frames.innermost()
    return frame.value if frame else None


def site_id() -> str:
    """Whose site this is, as a word to bind to it what must be good on no other: sessions, cache keys, files.

    The tenant's id, which a copy of it doesn't share; a static route's alias; ``shared``.
    """
    if tenant := get_current_tenant():
        return tenant.id or tenant.alias
    if is_shared_context():
        return "shared"
    raise NoActiveTenantError("Sessions, tokens, cache keys and uploaded files are a site's own")


def is_shared_context() -> bool:
    """Whether "no tenant" was said on purpose."""
    frame = Site.frames.innermost()
    return frame is not None and frame.value is None
