"""Locks that keep two processes off one tenant: whoever makes, copies, migrates or removes it holds its lock.

They are held by a session of the shared database's server, or by the process as the lock of a file, and so go with the
process, however it ends. The tenant's own place can't hold its lock: it may not be there yet, or no more.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import PROVISIONERS, Server, name_of, provisioner_of
from tenants.errors import TenantBusyError

# What this thread, or task, holds: a step of a longer work doesn't wait for the whole.
_held: ContextVar[frozenset[str]] = ContextVar("tenant_locks", default=frozenset())


@contextmanager
def tenant_lock(alias: str) -> Iterator[None]:
    """Hold the lock of one tenant; TenantBusyError at once if another process, or thread, holds it."""
    with TenantLocks() as locks, locks.hold(alias):
        yield


class TenantLocks:
    """Takes one lock after the other, on one session: for work on many tenants, in one thread."""

    def __init__(self) -> None:
        self._session: BaseDatabaseWrapper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._session:
            self._session.close()
            self._session = None

    @contextmanager
    def hold(self, alias: str) -> Iterator[None]:
        if alias in _held.get():
            yield
            return
        with ExitStack() as stack:
            if not self._take(alias, stack):
                raise TenantBusyError(
                    f"Another command is at work on {alias!r}. Wait until it has ended, then run this one again."
                )
            token = _held.set(_held.get() | {alias})
            try:
                yield
            finally:
                _held.reset(token)

    def _take(self, alias: str, stack: ExitStack) -> bool:
        tenant, shared = connections[alias], connections[DEFAULT_DB_ALIAS]
        server = PROVISIONERS[shared.vendor]
        if not isinstance(server, Server):
            return provisioner_of(tenant).lock(tenant, stack)  # the lock of the file that is, or will be, beside it
        if self._session is None:
            self._session = server.session_for_locks(shared)
        return server.hold(self._session, f"tenant {name_of(tenant)}", stack)
