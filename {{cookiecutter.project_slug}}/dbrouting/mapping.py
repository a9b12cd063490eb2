"""``DATABASES`` as a mapping that knows more aliases than it lists.

Django walks over every *listed* alias several times a request (``close_old_connections``, ``reset_queries``,
``make_view_atomic``): a cost for each alias, and "dictionary changed size during iteration" for the thread that
walks while another adds a key. So aliases that come and go are never listed: iteration shows the static ones,
look-up also finds those that ``resolve`` derives from their name and those that are lent out.
"""

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

DatabaseConfig = dict[str, Any]


def alias_matches(alias: str, patterns: Iterable[str]) -> bool:
    """Whether ``alias`` is one of ``patterns``: aliases, or shell patterns such as ``"archive_*"``."""
    return any(fnmatchcase(alias, pattern) for pattern in patterns)


def complete(config: Mapping[str, Any]) -> DatabaseConfig:
    """A copy of ``config`` with every key Django expects; Django itself completes only what is listed at start."""
    completed: DatabaseConfig = connections.configure_settings({DEFAULT_DB_ALIAS: dict(config)})[DEFAULT_DB_ALIAS]
    return completed


class DatabaseMapping(dict[str, DatabaseConfig]):
    """Listed aliases plus unlisted ones.

    ``resolve(alias)`` gives the configuration of an unlisted alias, or ``None`` if there is no such alias; it is
    asked in the middle of requests, so it must not query. ``unlisted()`` gives all of them, for commands that act
    on every database, and may query. Whoever resolves aliases closes their connections too: Django, when a request
    ends, does so for listed ones only.
    """

    def __init__(
        self,
        listed: Mapping[str, DatabaseConfig],
        resolve: Callable[[str], DatabaseConfig | None] = lambda alias: None,
        unlisted: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        super().__init__(listed)
        if not listed.get(DEFAULT_DB_ALIAS):
            for config in listed.values():  # test databases would wait for one of "default", which there won't be
                config.setdefault("TEST", {}).setdefault("DEPENDENCIES", [])
        self.unlisted = unlisted
        self._resolve = resolve
        self._borrowed: dict[str, _Loan] = {}
        self._lock = threading.Lock()

    def __contains__(self, alias: object) -> bool:
        return super().__contains__(alias) or (isinstance(alias, str) and self._find(alias) is not None)

    def __missing__(self, alias: str) -> DatabaseConfig:
        config = self._find(alias)
        if config is None:
            raise KeyError(alias)
        return complete(config)

    def __deepcopy__(self, memo: dict[int, Any]) -> "DatabaseMapping":
        return DatabaseMapping(copy.deepcopy(dict(self), memo), self._resolve, self.unlisted)

    def _find(self, alias: str) -> DatabaseConfig | None:
        loan = self._borrowed.get(alias)
        return self._resolve(alias) if loan is None else loan.config

    def lend(self, config: DatabaseConfig) -> str:
        """An alias for ``config`` until it is given back; those who borrow equal ones at the same time share it.

        The alias is derived from the configuration, so a connection object that some thread still holds can only
        ever mean the same database.
        """
        alias = borrowed_alias(config)
        with self._lock:
            loan = self._borrowed.setdefault(alias, _Loan(dict(config)))
            loan.borrowers += 1
        return alias

    def give_back(self, alias: str) -> None:
        """The last one to do so closes the connections, before anybody can borrow the alias again and use them."""
        with self._lock:
            loan = self._borrowed[alias]
            loan.borrowers -= 1
            if not loan.borrowers:
                del self._borrowed[alias]
                loan.close()
                with suppress(AttributeError):  # this thread may not have made a connection object
                    del connections[alias]


class _Loan:
    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.borrowers = 0
        self.connections: list[BaseDatabaseWrapper] = []

    def close(self) -> None:
        """Close what any thread opened: async code opens its connections in a worker thread.

        In a thread of its own, for Django refuses to close one in a thread that runs an event loop.
        """
        closer = threading.Thread(target=self._close_all)
        closer.start()
        closer.join()

    def _close_all(self) -> None:
        for connection in self.connections:
            connection.inc_thread_sharing()
            BaseDatabaseWrapper.close(connection)  # SQLite's own ``close`` spares in-memory databases
            if pool := getattr(connection, "_connection_pools", {}).pop(connection.alias, None):
                pool.close()


def borrowed_alias(config: Mapping[str, Any]) -> str:
    """The alias that ``config`` is lent under; it tells nothing of the password inside."""
    text = json.dumps(config, sort_keys=True, default=repr)
    return "borrowed_" + hashlib.sha256(text.encode()).hexdigest()[:16]


def _note_connection(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Remember what is to be closed when a lent alias is given back."""
    databases = connections.settings
    if isinstance(databases, DatabaseMapping) and (loan := databases._borrowed.get(connection.alias)):
        loan.connections.append(connection)


connection_created.connect(_note_connection)
