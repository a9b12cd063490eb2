"""A primary and replicas that replay what they are told to: SQLite files of a test's own, whatever the engine.

Real servers replay when they like, so no test could choose what a replica has, or see the same again in the next run.
Here each commit adds a copy of the primary's file to a log, and replaying overwrites a replica's file with one of the
copies. A copy's place in the log is its position and stands in the file itself, so that it can't disagree with the
rows. Everything above the servers is the project's own: routers, middleware, and what replicas' connections do.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.db import connections
from django.db.backends.sqlite3 import base
from django.test import override_settings

from catalogue.models import Category
from dbrouting import replication
from dbrouting.consistency import Position
from dbrouting.fallback import ReplicaConnection
from dbrouting.mapping import complete
from dbrouting.pinning import unit_of_work
from dbrouting.replicas import take_back

PRIMARY = "simulated_primary"
REPLICAS = ("simulated_replica1", "simulated_replica2")
NO_WAITING = "PRAGMA synchronous=OFF"  # for a disk: nobody needs the files afterwards


class Clock:
    """Stands for the module ``time`` where replicas are left out: time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Connection(sqlite3.Connection):
    """Takes attributes, as the drivers' connections to servers do."""


class ServerIsDownError(sqlite3.OperationalError):
    """The driver's."""


class SimulatedServer(base.DatabaseWrapper):
    """Notes who answered, in a list that all servers share."""

    def __init__(self, config: dict[str, Any], alias: str, answered: list[str]) -> None:
        super().__init__(config, alias)
        self.answered = answered
        self.execute_wrappers = [self.execute_and_note]

    def execute_and_note(self, execute: Callable[..., Any], *args: Any) -> Any:
        result = execute(*args)
        self.answered.append(self.alias)
        return result


class SimulatedReplica(ReplicaConnection, SimulatedServer):
    """Refuses to be connected to, and to execute on the connection it has, while it is down."""

    def __init__(self, config: dict[str, Any], alias: str, answered: list[str], clock: Clock) -> None:
        super().__init__(config, alias, answered)
        self.clock = clock
        self.is_down = False
        # When it refused.
        self.failures: list[float] = []

    def get_new_connection(self, conn_params: Any) -> Any:
        self.refuse_if_down()
        return super().get_new_connection(conn_params)

    def execute_and_note(self, execute: Callable[..., Any], *args: Any) -> Any:
        with self.wrap_database_errors:
            self.refuse_if_down()
        return super().execute_and_note(execute, *args)

    def refuse_if_down(self) -> None:
        if self.is_down:
            self.failures.append(self.clock.now)
            raise ServerIsDownError("disk I/O error")


class Servers:
    """One table, ``Category``, with one row; and the log of what was committed."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        # Who answered a statement, in turn.
        self.answered: list[str] = []
        self.tells_positions = True
        self._log: list[sqlite3.Connection] = []
        # How often the log was asked for its end, and a replica for what it has replayed.
        self.captures = self.position_queries = 0
        self.configs = {alias: complete(_config(folder / alias)) for alias in (PRIMARY, *REPLICAS)}
        self.primary = SimulatedServer(self.configs[PRIMARY], PRIMARY, self.answered)
        self.replicas = {
            alias: SimulatedReplica(self.configs[alias], alias, self.answered, self.clock) for alias in REPLICAS
        }
        # Connections of the servers themselves, so to say: past Django, and open from the beginning to the end.
        self._files = {alias: sqlite3.connect(config["NAME"]) for alias, config in self.configs.items()}
        for file in self._files.values():
            file.execute(NO_WAITING)

    def begin_anew(self) -> None:
        """One row with the name ``0`` everywhere, all servers up, and nobody remembers anything."""
        with unit_of_work():
            Category.objects.using(PRIMARY).update_or_create(pk=1, defaults={"name": "0"})
        self._log.clear()
        self.commit()
        self.tells_positions = True
        for alias, replica in self.replicas.items():
            replica.is_down = False
            replica.failures.clear()
            self.replace(alias, 0)
            take_back(alias)

    def commit(self) -> None:
        """Add what the primary has now to the log."""
        copy = sqlite3.connect(":memory:")
        self._files[PRIMARY].backup(copy)
        copy.execute(f"PRAGMA user_version = {len(self._log)}")
        self._log.append(copy)

    def replay(self, alias: str, number: int) -> None:
        """Let ``alias`` have the log up to ``number``."""
        self._log[number].backup(self._files[alias])

    def replace(self, alias: str, number: int) -> None:
        """Put another server behind ``alias``: that connections to it break is how a client can tell."""
        self.replicas[alias].close()
        self.replay(alias, number)

    def written(self, cursor: Any) -> Position | None:
        self.captures += 1
        return Position("", (("", len(self._log) - 1),)) if self.tells_positions else None

    def replayed(self, cursor: sqlite3.Cursor) -> Position:
        self.position_queries += 1
        [replica] = (replica for replica in self.replicas.values() if replica.connection is cursor.connection)
        replica.refuse_if_down()
        [number] = cursor.execute("PRAGMA user_version").fetchone()
        return Position("", (("", number),))

    def close(self) -> None:
        for connection in (self.primary, *self.replicas.values()):
            connection.close()
        for file in (*self._files.values(), *self._log):
            file.close()


def is_failure(error: BaseException) -> bool:
    return isinstance(error.__cause__, ServerIsDownError)


@contextmanager
def simulated_servers(folder: Path, **settings: Any) -> Iterator[Servers]:
    """The only primary and replicas in the block, and in this thread."""
    servers = Servers(folder)
    with ExitStack() as stack:
        stack.callback(servers.close)
        stack.enter_context(override_settings(PRIMARY_ALIAS=PRIMARY, REPLICA_DATABASES=REPLICAS, **settings))
        stack.enter_context(patch.dict(connections.settings, servers.configs))
        for connection in (servers.primary, *servers.replicas.values()):
            connections[connection.alias] = connection
            stack.callback(connections.__delitem__, connection.alias)
        stack.enter_context(patch("dbrouting.replicas.time", servers.clock))
        stack.enter_context(patch.dict("dbrouting.replicas._left_out", clear=True))
        stack.enter_context(patch.dict("dbrouting.health._health", clear=True))
        answers: dict[str, Any] = {"written": servers.written, "replayed": servers.replayed, "is_failure": is_failure}
        stack.enter_context(patch.multiple(replication, **answers, lacks_a_name=lambda error: False))
        with unit_of_work(), servers.primary.schema_editor() as editor:
            editor.create_model(Category)
        servers.begin_anew()
        yield servers


def _config(path: Path) -> dict[str, Any]:
    options = {"factory": Connection, "init_command": NO_WAITING}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}
