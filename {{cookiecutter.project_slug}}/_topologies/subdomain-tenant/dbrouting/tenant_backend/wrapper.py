"""What the engines' backends have in common: a tenant's connection comes from the stock, and goes back there."""

from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.utils.asyncio import async_unsafe

from dbrouting.tenant_backend.stock import stock
from dbrouting.tenant_connections import opened_here

# What tells one place from another.
CONNECTS_BY = ("HOST", "PORT", "NAME", "USER", "PASSWORD", "TIME_ZONE", "OPTIONS")


class Stocked(BaseDatabaseWrapper):
    """Beside an engine's own class, which an engine's backend derives from too."""

    stock = staticmethod(stock)
    is_warm = False

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(settings_dict, alias)
        self._cursors: WeakSet[Any] = WeakSet()
        # What leads to the server as such is used for a moment, and soon again; a separate session may be held.
        self.is_stocked = alias != NO_DB_ALIAS or settings_dict["NAME"] is None

    # What an engine may do differently

    @staticmethod
    def fileno(connection: Any) -> int | None:
        """The number of its socket, -1 if that is closed; ``None`` if it has none."""
        return None

    @staticmethod
    def is_closed(cursor: Any) -> bool:
        return False

    def enter(self, connection: Any) -> None:
        """Make ``connection`` this tenant's, whoever had it before. Raises if it can't be."""

    def leave(self, connection: Any) -> bool:
        """End what is in progress, and say whether ``connection`` can serve somebody else."""
        return False

    # What all do

    def place(self) -> str:
        return repr([self.settings_dict[key] for key in CONNECTS_BY])

    def check_settings(self) -> None:
        super().check_settings()
        if self.settings_dict["CONN_MAX_AGE"] != 0:
            raise ImproperlyConfigured(f"{self.alias!r} needs CONN_MAX_AGE = 0: what is kept, all tenants share.")

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """One that works: those that died while nobody used them are thrown away."""
        open_one = partial(super().get_new_connection, conn_params)
        if not self.is_stocked:
            return open_one()
        give_back_idle(besides=self.alias)
        while True:
            connection, self.is_warm = self.stock().take(self, self.place(), open_one, self.fileno)
            try:
                self.enter(connection)
            except BaseException:
                was_lost = self.is_warm and self.fileno(connection) == -1
                self.stock().discard(connection)
                if not was_lost:
                    raise
            else:
                return connection

    @async_unsafe
    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)
        self._cursors.add(cursor)
        return cursor

    def is_idle(self) -> bool:
        """Whether nothing is open here: no transaction, and no cursor that somebody still holds."""
        return not self.in_atomic_block and self.autocommit and all(map(self.is_closed, self._cursors))

    def close_if_unusable_or_obsolete(self) -> None:
        """Where a request ends, and nothing else does."""
        if not self.in_atomic_block:
            self.close()

    def close_pool(self) -> None:
        self.stock().close(self.place())

    def _close(self) -> None:
        if self.connection is None or not self.is_stocked:
            super()._close()  # type: ignore[misc]  # Django's own, no stub
            return
        connection, self.connection = self.connection, None  # it is somebody else's from now on
        may_stay = False
        try:
            with suppress(Error), self.wrap_database_errors:
                for cursor in tuple(self._cursors):  # one that somebody kept would run in the next one's place
                    cursor.close()
                may_stay = self.leave(connection)
        finally:
            stock = self.stock()
            (stock.give_back if may_stay else stock.discard)(connection)


def give_back_idle(besides: str) -> None:
    """Who goes from tenant to tenant takes no more connections than there is something open in."""
    for alias in opened_here() - {besides}:
        connection = connections[alias]
        if isinstance(connection, Stocked) and connection.connection and connection.is_idle():
            connection.close()
