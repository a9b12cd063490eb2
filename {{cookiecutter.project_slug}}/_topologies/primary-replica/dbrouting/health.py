"""Which replicas are well: what reads run into, and what threads find that look after the servers.

Each process knows for itself. A replica that is out is not chosen; it comes back by itself.
"""

import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, NamedTuple

from django.conf import settings
from django.core import mail
from django.dispatch import Signal

from config import engine
from dbrouting import replicas, replication
from dbrouting.consistency import Position
from dbrouting.overrides import in_database
from dbrouting.probing import answers_yes, connection_of_its_own, leads_to_the_primary

logger = logging.getLogger(__name__)
# With ``alias``, ``state`` ("out" or "in") and ``reason``: in each process that notices, in the thread that does.
replica_state_changed = Signal()
# With ``alias``: it took a connection and says nothing any more; sent again and again as long as it does so.
replica_hangs = Signal()

PATIENCE = 3  # seconds that an answer may take
# What positions of the primary this process saw, and when first: of almost three hours, with a check each two seconds.
_seen: deque[tuple[float, Position]] = deque(maxlen=5_000)


class Health(NamedTuple):
    """What this process knows of a replica. ``summary`` is the reason without names of hosts and users."""

    state: Literal["in", "out"] = "in"
    reason: str = ""
    summary: str = ""
    since: datetime | None = None
    lag_seconds: float | None = None


_health: dict[str, Health] = {}
_lock = threading.Lock()


def note_failure(alias: str, error: BaseException | str) -> None:
    """Leave the replica out for the cooldown, which begins anew if it is out already."""
    reason = in_one_line(error)
    summary = error if isinstance(error, str) else "a connection or a read failed; the log says how"
    with _lock:
        replicas.leave_out(alias, settings.REPLICA_COOLDOWN_SECONDS)
        before = _health.get(alias, Health())
        since = before.since if before.state == "out" else datetime.now(UTC)
        _health[alias] = Health("out", reason, summary, since)
    if before.state == "in":
        seconds = settings.REPLICA_COOLDOWN_SECONDS
        logger.warning("The replica %r is out, and not read for %g seconds at least: %s", alias, seconds, reason)
        replica_state_changed.send_robust(Health, alias=alias, state="out", reason=reason)


def in_one_line(error: BaseException | str) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def note_recovery(alias: str) -> None:
    """It is chosen again if its cooldown is over."""
    with _lock:
        before = _health.get(alias, Health())
        if before.state == "in" or replicas.is_left_out(alias):
            return
        _health[alias] = Health(since=datetime.now(UTC))
    reason = f"it was out because: {before.reason}"
    logger.info("The replica %r is back, and read again; %s", alias, reason)
    replica_state_changed.send_robust(Health, alias=alias, state="in", reason=reason)


def states() -> dict[str, Health]:
    """Of each replica what is known, without asking it."""
    watch()
    return {alias: _health.get(alias, Health()) for alias in replicas.replica_weights()}


def watch() -> None:
    """Look after the replicas from now on: one thread for each server in each process, however often this is called.

    Where nobody looks after them, a replica is back when its cooldown is over, well or not. So it is in tests, whose
    replicas are the primary.
    """
    if not settings.REPLICA_CHECK_SECONDS or hasattr(mail, "outbox"):  # where Django's test environment puts mail
        for alias in tuple(_health):
            note_recovery(alias)
        return
    if _watches:
        return
    with _lock:
        if not _watches:
            _watches.extend([PrimaryWatch(replicas.primary_alias()), *map(ReplicaWatch, replicas.replica_weights())])
            for one in _watches:
                one.start()


class Watch(threading.Thread, ABC):
    """Asks one server again and again, on a connection of its own: one that is slow delays no other."""

    def __init__(self, alias: str) -> None:
        super().__init__(name=f"dbrouting.health of {alias}", daemon=True)
        self.alias = alias
        # Made here, for its modules to be loaded: a process that forks while a thread loads some has broken children.
        self.connection = connection_of_its_own(alias)
        self.connection.inc_thread_sharing()
        self.asked_at: float | None = None
        self.took = 0.0

    def run(self) -> None:
        while True:
            try:
                self.look()
                for other in _watches:
                    other.complain_if_it_hangs()
            except Exception:
                logger.exception("Looking after %r failed; it goes on.", self.alias)
            time.sleep(settings.REPLICA_CHECK_SECONDS)

    def look(self) -> None:
        fault: BaseException | str
        self.asked_at = time.monotonic()
        try:
            self.close_if_lost()
            with in_database(self.alias), self.connection.cursor() as cursor:  # of this very server, and no other's
                fault = self.fault(cursor)
        except Exception as error:
            fault = error
        self.took, self.asked_at = time.monotonic() - self.asked_at, None
        self.judge(fault)
        if isinstance(fault, BaseException):
            self.connection.close()

    def close_if_lost(self) -> None:
        """A server that was restarted, or where somebody ended the session, is none that fails."""
        if self.connection.connection is not None and not self.connection.is_usable():
            self.connection.close()

    def complain_if_it_hangs(self) -> None:
        """For the other threads to call: this one is waiting."""
        asked_at = self.asked_at
        if asked_at is not None and time.monotonic() - asked_at > PATIENCE:
            self.took = PATIENCE
            self.judge(f"it doesn't answer within {PATIENCE} seconds")
            replica_hangs.send_robust(Health, alias=self.alias)

    @abstractmethod
    def fault(self, cursor: Any) -> str:
        """What is wrong with the server; empty if nothing is."""

    @abstractmethod
    def judge(self, fault: BaseException | str) -> None: ...


class PrimaryWatch(Watch):
    """Remembers when the primary had come how far: that needs no table with a heartbeat, and holds on an idle one."""

    latest: ClassVar[tuple[float, Position] | None] = None

    def fault(self, cursor: Any) -> str:
        now = time.monotonic()
        position = replication.written(cursor) if settings.REPLICA_POSITIONS else None
        PrimaryWatch.latest = position and (now, position)
        if position is not None:
            if _seen and not position.covers(_seen[-1][1]):
                _seen.clear()  # another server is the primary now, which has lost something
            if not _seen or position != _seen[-1][1]:
                _seen.append((time.monotonic(), position))
        return ""

    def judge(self, fault: BaseException | str) -> None:
        """While the primary can't be asked nobody knows how late a replica is, and reads must go on."""
        if fault:
            PrimaryWatch.latest = None
        if fault and _seen:
            what = "The primary can't be asked how far it is, and until it can no replica counts as late: %s"
            logger.warning(what, in_one_line(fault))
            _seen.clear()


class ReplicaWatch(Watch):
    lag: float | None = None
    before: tuple[float, Position] | None = None

    def look(self) -> None:
        self.lag = None
        super().look()

    def fault(self, cursor: Any) -> str:
        if leads_to_the_primary(cursor.db):
            return ""
        if answers_yes(cursor, engine.ASK_TAKES_WRITES):
            return "it takes writes: it was promoted, and gets nothing from the primary"
        if settings.REPLICA_POSITIONS:
            replayed = replication.replayed(cursor)
            if self.is_astray():
                return "it has what the primary hasn't: it follows, or followed, another, and must be set up anew"
            self.before = time.monotonic(), replayed
            self.lag = lag_of(replayed)
        limit = settings.REPLICA_MAX_LAG_SECONDS
        return f"it is {self.lag:.1f} seconds late, more than {limit:g}" if self.lag and self.lag > limit else ""

    def is_astray(self) -> bool:
        """Whether it was further than the primary at a later time, as after a failover to a server that was behind it.

        Its position would cover that of every client, and lead nowhere.
        """
        latest = PrimaryWatch.latest
        return bool(self.before and latest and latest[0] > self.before[0] and is_ahead(self.before[1], latest[1]))

    def judge(self, fault: BaseException | str) -> None:
        """A fault counts until the next judgement at least, however short the cooldown is."""
        if fault:
            note_failure(self.alias, fault)
            until_the_next = 2 * settings.REPLICA_CHECK_SECONDS + self.took
            replicas.leave_out(self.alias, max(settings.REPLICA_COOLDOWN_SECONDS, until_the_next))
        else:
            note_recovery(self.alias)
        with _lock:
            _health[self.alias] = _health.get(self.alias, Health())._replace(lag_seconds=self.lag)


def is_ahead(replayed: Position, written: Position) -> bool:
    """Whether there is more of a stream in ``replayed``; one of another cluster's is nothing of ours."""
    here = dict(written.streams)
    return replayed.cluster != written.cluster or any(
        number > here.get(name, number) for name, number in replayed.streams
    )


def lag_of(replayed: Position) -> float | None:
    """For how many seconds the primary has had something that is not in ``replayed``; ``None`` if nobody knows."""
    seen = tuple(_seen)
    if not seen:
        return None
    lag = 0.0
    for when, position in reversed(seen):
        if replayed.covers(position):
            break
        lag = time.monotonic() - when
    return lag


_watches: list[Watch] = []


def begin_anew() -> None:
    """In a process that was forked: it has none of the other's threads, and one of them may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _watches.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=begin_anew)
