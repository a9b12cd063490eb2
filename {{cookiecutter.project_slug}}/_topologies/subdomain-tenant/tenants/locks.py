"""Locks that keep two processes off one tenant: whoever makes, copies, migrates or removes it holds its lock.

They are held by a session of the shared database's server, or by the process as the lock of a file, and so go with the
process, however it ends. The tenant's own place can't hold its lock: it may not be there yet, or no more.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Self

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import (
    PROVISIONERS,
    Server,
    is_in_memory,
    lock_file,
    name_of,
    provisioner_of,
    separate_session,
    sqlite_path,
)
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

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        if self._session:
            self._session.close()
            self._session = None

    @contextmanager
    def hold(self, alias: str) -> Iterator[None]:
        """The lock of one tenant; TenantBusyError at once if it is taken."""
        if alias in _held.get():
            yield
            return
        with ExitStack() as stack:
            if not self._take(connections[alias], stack):
                raise TenantBusyError(
                    f"Another command is at work on {alias!r}. Wait until it has ended, then run this one again."
                )
            token = _held.set(_held.get() | {alias})
            try:
                yield
            finally:
                _held.reset(token)

    def _take(self, tenant: BaseDatabaseWrapper, stack: ExitStack) -> bool:
        server = PROVISIONERS[connections[DEFAULT_DB_ALIAS].vendor]
        if not isinstance(server, Server):
            return provisioner_of(tenant).lock(tenant, stack)  # the lock of a file that is, or will be, beside it
        if self._session is None:
            self._session = separate_session(connections[DEFAULT_DB_ALIAS])
        return server.hold(self._session, f"tenant {name_of(tenant)}", stack)


@contextmanager
def run_lock() -> Iterator[None]:
    """What a run over all tenants holds, so that there is one at a time; TenantBusyError at once if it is taken."""
    with ExitStack() as stack:
        if not take_run_lock(connections[DEFAULT_DB_ALIAS], stack):
            raise TenantBusyError("Another `migrate_tenants` is at work. Wait until it has ended, then run this again.")
        yield


def take_run_lock(shared: BaseDatabaseWrapper, stack: ExitStack) -> bool:
    server = PROVISIONERS[shared.vendor]
    if isinstance(server, Server):
        session = separate_session(shared)
        stack.callback(session.close)
        return server.hold(session, f"tenants of {name_of(shared)}", stack)
    path = sqlite_path(shared)
    return is_in_memory(shared) or lock_file(path.with_name(f"{path.name}.tenants.lock"), stack)
