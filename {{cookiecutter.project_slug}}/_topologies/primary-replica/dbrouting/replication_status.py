"""How each server is and how far it is behind, asked there and then: what ``replication_status`` shows."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError
from tqdm import tqdm

from config import engine
from dbrouting import replication
from dbrouting.consistency import Position
from dbrouting.overrides import in_database
from dbrouting.probing import answers_yes, connection_of_its_own, leads_to_the_primary
from dbrouting.provisioning import is_missing_file
from dbrouting.reachability import describe, variable_of
from dbrouting.replicas import primary_alias, replica_weights

T = TypeVar("T")
MANAGE = "python manage.py"
AGAIN = f"{MANAGE} replication_status"
PAUSE = 0.05  # seconds, before a replica that is behind is asked again


@dataclass
class Status:
    """``lag`` is how much of what the primary had written was missing; ``lag_seconds`` is how long it took to arrive.

    Or how long it was waited for, if it has not ``arrived``. All three are ``None`` where nothing could be measured.
    """

    alias: str
    role: str
    weight: int | None = None
    state: str = "well"
    lag: int | None = None
    lag_seconds: float | None = None
    arrived: bool | None = None
    eligible: bool = True
    why_not: str = ""

    def rule_out(self, state: str, why: str) -> None:
        self.state, self.eligible, self.why_not = state, False, why


class Server:
    """One that is looked at, on a connection of its own: no other server answers for it."""

    def __init__(self, status: Status) -> None:
        self.status = status
        self.connection = connection_of_its_own(status.alias)

    def ask(self, question: Callable[[Any], T]) -> T | None:
        """What ``question``, a function of a cursor, is answered; ``None`` by a server that fails."""
        alias = self.status.alias
        try:
            if is_missing_file(self.connection):
                raise FileNotFoundError("there is no such file")
            with in_database(alias), self.connection.cursor() as cursor:
                return question(cursor)
        except (DatabaseError, FileNotFoundError) as error:
            self.status.rule_out("unreachable", describe(alias, error, then=AGAIN))
            return None

    def says(self, question: str) -> bool | None:
        return self.ask(lambda cursor: answers_yes(cursor, question))

    def has(self, written: Position, seconds: float) -> bool:
        """Whether there is nothing to wait for: all of ``written`` is here ``seconds`` later, or never will be."""
        replayed = self.ask(replication.replayed)
        if replayed is None:
            return True
        if replayed.cluster != written.cluster:
            self.status.rule_out("foreign", f"It is of another cluster than the primary. {remedy(self.status.alias)}")
            return True
        if self.status.lag is None:
            self.status.lag = difference(written, replayed)
        self.status.lag_seconds = seconds
        self.status.arrived = replayed.covers(written)
        return self.status.arrived


def replication_status(wait: float) -> list[Status]:
    """Of the primary and each replica, which have ``wait`` seconds to get what the primary has written by now."""
    primary = Server(Status(primary_alias(), "primary"))
    replicas = [Server(Status(alias, "replica", weight)) for alias, weight in replica_weights().items()]
    with ExitStack() as stack:
        for server in (primary, *replicas):
            stack.callback(server.connection.close)
        check_primary(primary)
        measure(primary, [replica for replica in replicas if is_standby(replica)], wait)
    return [server.status for server in (primary, *replicas)]


def check_primary(primary: Server) -> None:
    if primary.says(engine.ASK_READ_ONLY):
        why = f"It refuses to write, as a standby does. {remedy(primary.status.alias, 'the primary')}"
        primary.status.rule_out("read-only", why)


def is_standby(replica: Server) -> bool:
    """Whether it can be behind."""
    if leads_to_the_primary(replica.connection):
        return False
    if replica.says(engine.ASK_TAKES_WRITES):
        why = "It takes writes, so it was promoted, and nothing of the primary may reach it."
        replica.status.rule_out("promoted", f"{why} {remedy(replica.status.alias)}")
    return replica.status.eligible


def measure(primary: Server, replicas: list[Server], wait: float) -> None:
    """Where positions tell: how late is who. On an idle primary nobody is, however long ago it wrote last."""
    written = primary.ask(replication.written) if settings.REPLICA_POSITIONS and primary.status.eligible else None
    if written is None:
        return
    since = time.monotonic()
    behind = [replica for replica in replicas if not replica.has(written, 0.0)]
    count = len(behind)
    with tqdm(total=count, desc="Waiting for replicas", unit="replica", leave=False, disable=None) as bar:
        while behind and time.monotonic() - since < wait:
            time.sleep(PAUSE)
            behind = [replica for replica in behind if not replica.has(written, time.monotonic() - since)]
            bar.n = count - len(behind)
            bar.refresh()
    for replica in replicas:
        judge_lag(replica.status)


def judge_lag(status: Status) -> None:
    limit = settings.REPLICA_MAX_LAG_SECONDS
    if status.eligible and status.lag_seconds and status.lag_seconds > limit:
        why = f"It is more than {limit:g} seconds behind, REPLICA_MAX_LAG_SECONDS. If its replication has stopped, its"
        status.rule_out("late", f"{why} log says why. To ask the server: {MANAGE} dbshell --database={status.alias}")


def remedy(alias: str, target: str = "a copy of it") -> str:
    return f"Let {variable_of(alias)} in .env lead to {target}; then run: {AGAIN}"


def difference(written: Position, replayed: Position) -> int:
    reached = dict(replayed.streams)
    return sum(max(0, number - reached.get(name, 0)) for name, number in written.streams)
