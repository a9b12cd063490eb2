"""Follow what is written to the old tables, so that little is left to do once writes are refused.

PostgreSQL only, by a slot that is made before the first row is copied. It tells which keys were written; rows with
these are copied again from the source as they are then, in whatever order and however often: the source is the truth.

Why a range need not be compared after the block, if both sides were the same before: the comparison saw some
transactions on the source and not others. Those that it didn't see are told later, with the keys that they wrote. The
rows with these keys are copied and compared, which is a comparison as that of the range was, of these alone. If they
are the same, what they add up to takes the place of what they did in the range's digest; if not, the range has none
any more, and is compared. So all rows are the same on both sides that nobody has written to since, for

- none is told and forgotten before. A transaction is in the log for a moment before others see its rows, and for long
  if a standby has to confirm it. None is acted upon until it is seen, and what was seen once is seen from then on.
- none ended before the slot began and was seen after the comparison only: those that were under way when the slot had
  been made, prepared ones among them, must have ended before anything is compared.
- none wrote rows in a way that the log doesn't tell: rewriting a table changes its shape, and then all its ranges are
  compared after the block.

Whoever gets the lock of the block has seen all writers of these tables out: what is told then is all there is. The
target is changed by this process alone.
"""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice

from django.db import DatabaseError, IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic

from dbrouting.moving import copying
from dbrouting.moving.errors import MoveError
from dbrouting.moving.ledger import Step
from dbrouting.moving.move import Move, key_of
from dbrouting.moving.on_postgresql import rows_of
from dbrouting.moving.pgoutput import Commit, Mark, Written
from dbrouting.moving.preparing import restore
from dbrouting.moving.ranges import Range, Table
from dbrouting.moving.slots import (
    Read,
    Slot,
    Sum,
    number_of,
    obstacles,
    prepared,
    rows_with,
    shape_of,
    snapshot_of,
    sums_of,
)
from dbrouting.provisioning import quoted

ROUNDS = 5
FEW = 1_000  # rows, which take less than a second
ATTEMPTS = 600
PAUSE = 0.1
UNIQUE = (2,)
REFUSED = "writes are refused"

# By the numbers of ranges.
Sums = dict[int, Sum]


def why_not_followed(move: Move) -> str:
    if move.is_switched:
        return f"the map has {move.app_label} on {move.target!r} already"
    if move.old.vendor != "postgresql":
        return "only PostgreSQL tells what is written meanwhile"
    keys = {model._meta.db_table: key_of(model) for model in move.models}
    return next(obstacles(move.old, keys, slot_of(move).name), "")


def slot_of(move: Move) -> Slot:
    """Slots belong to the whole server, so the name says which database is meant, by what no renaming changes."""
    [(database,)] = rows_of(move.old, "SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
    return Slot(move.old, re.sub("[^a-z0-9_]", "_", f"dbrouting_{database}_{move.app_label.lower()}")[:63])


def window(move: Move) -> str:
    """For the plan: for how long writes will be refused."""
    if reason := why_not_followed(move):
        return f"Writes will be refused for as long as it takes to compare all rows on both sides, for {reason}."
    return (
        "Writes will be refused for seconds, however many rows there are: a replication slot tells what is written "
        f"meanwhile. Until the move ends, {move.source!r} keeps its log (WAL) for that slot."
    )


def watch(move: Move) -> str | None:
    """Before the first row is copied."""
    if not (reason := why_not_followed(move)):
        try:
            slot_of(move).make(move.names)
        except DatabaseError as error:
            reason = " ".join(f"{error}{prepared(move.old)}".split())
    if reason:
        move.ledger.reach(Step.WATCHED)
        return f"What is written meanwhile isn't followed, for {reason}."
    _, since = slot_of(move).mark()
    shapes = {name: shape_of(move.old, name) for name in move.names}
    move.ledger.reach(Step.WATCHED, since=since, shapes=shapes)
    return None


def is_followed(move: Move) -> bool:
    return move.ledger.facts.get("since") is not None


def follow(move: Move) -> str | None:
    """While writes go on: bring the target up to date, and compare what isn't known to be the same, until little is."""
    if problem := lost(move):
        return problem
    if not is_followed(move):
        return None
    follower = Follower(move)
    follower.catch_up()
    with suppress(IntegrityError):  # a value that goes from one row to another may be in both for a while
        restore(move, UNIQUE)
    if not patiently(follower.may_compare):
        old = f"Transactions go on that are older than the move{prepared(move.old)}"
        return f"{old}: all rows are compared while {REFUSED}."
    for _ in range(ROUNDS):
        follower.compare()
        if follower.catch_up() <= FEW and follower.has_compared_all():
            break
    return None


def settle(move: Move) -> str | None:
    """After the block: what is the same on both sides from now on has a digest in the ledger, and nothing else has."""
    problem = lost(move)
    doubtful = list(move.tables())
    if is_followed(move):
        follower = Follower(move)
        follower.catch_up()
        doubtful = [table for table in follower.tables if not follower.is_sure_of(table)]
    for table in doubtful:
        move.ledger.distrust(table.name)
    return problem


def lost(move: Move) -> str | None:
    """Give up following if the slot can't tell everything any more, and say why."""
    if not is_followed(move):
        return None
    problem = slot_of(move).problem(move.names) or why_not_followed(move)
    if not problem:
        return None
    leave(move)
    return f"What was written meanwhile isn't known, for {problem}: all rows are compared while {REFUSED}."


def leave(move: Move) -> None:
    """Let the source forget its log. Whatever a killed run made is found by its name."""
    if move.old.vendor == "postgresql":
        slot_of(move).drop()
        move.ledger.note(since=None)


def patiently(is_true: Callable[[], bool]) -> bool:
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        if is_true():
            return True
    return False


class Follower:
    """Knows the tables and their ranges, once these are all in the ledger."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.slot = slot_of(move)
        self._is_busy, self._is_due_at = False, 0.0
        self.tables = list(move.tables())
        self._by_number = {number_of(move.old, table.name): table for table in self.tables}
        self._bounds = {
            table.name: [span.upper for span in move.ledger.ranges(table.name) if span.upper is not None]
            for table in self.tables
        }

    def may_compare(self) -> bool:
        return snapshot_of(self.move.old).xmin >= int(self.move.ledger.facts["since"])

    def compare(self) -> None:
        """A range that differs, since somebody just wrote there, waits for another time.

        If somebody writes, that is copied in between: the more time goes by, the more ranges differ. But reading it may
        begin long before what is new, so two thirds of the time are kept for comparing.
        """
        for table in self.tables:
            unsure = (span for span in self.move.ledger.ranges(table.name) if not span.digest)
            while some := list(islice(unsure, self.move.jobs if self._is_busy else None)):
                if self._is_busy and time.monotonic() >= self._is_due_at:
                    self.catch_up()
                ready = [span for span in some if span.rows is not None or self._copy(table, span)]
                copying.differing(self.move, table, ready)

    def has_compared_all(self) -> bool:
        return all(span.digest for table in self.tables for span in self.move.ledger.ranges(table.name))

    def _copy(self, table: Table, span: Range) -> bool:
        """Anew; unless values that must be unique are on their way from one range to another."""
        move = self.move
        with suppress(IntegrityError), atomic(using=move.target):
            move.engine.delete(move.new, table, span)
            span.rows = move.engine.copy(move.old, move.new, table, span)
            move.ledger.update_range(span)
            return True
        return False

    def catch_up(self) -> int:
        """The target has all that was committed before this was called; gives how many rows that were."""
        begun = time.monotonic()
        text, _ = self.slot.mark()
        count, is_read = 0, False
        while not is_read:
            written, is_read = self._read(text)
            count += written
        self._is_busy, self._is_due_at = count > 0, time.monotonic() + 2 * (time.monotonic() - begun)
        return count

    def _read(self, text: str) -> tuple[int, bool]:
        """Some transactions, which are told again unless all of their rows have come; whether they reach the mark."""
        count, end, is_reached = 0, "", False
        keys = {number: table.key for number, table in self._by_number.items()}
        with self.slot.peek(keys) as pieces:
            for piece in pieces:
                count += self._apply(piece)
                end = next((what.end for _, what in reversed(piece) if isinstance(what, Commit)), end)
                is_reached |= any(what == Mark(text) for _, what in piece)
        if not end:
            raise MoveError(
                f"The replication slot {self.slot.name} doesn't tell what was written to {self.move.source!r}. "
                f"Begin anew: {self.move.command} --abort"
            )
        self.slot.forget(end)
        return count, is_reached

    def _apply(self, piece: Iterable[Read]) -> int:
        written: dict[int, set[tuple[str, ...] | None]] = defaultdict(set)
        xids = set()
        for xid, what in piece:
            if isinstance(what, Written) and what.table in self._by_number:
                written[what.table].add(what.key)
                xids.add(xid)
        if not patiently(lambda: all(map(snapshot_of(self.move.old).sees, xids))):
            raise MoveError(
                f"On {self.move.source!r}, transactions were committed whose rows nobody can see yet: a standby has to "
                f"confirm them (pg_stat_replication). When it does, go on: {self.move.command}"
            )
        for number, keys in written.items():
            table = self._by_number[number]
            if None in keys:
                self.move.ledger.distrust(table.name, recopy=True)
            elif keys:
                self.copy_rows(table, [key for key in keys if key is not None])
        return sum(map(len, written.values()))

    def copy_rows(self, table: Table, keys: list[tuple[str, ...]]) -> None:
        """As they are by now, and compare them.

        A unique value that another row still has makes their ranges wait for being copied.
        """
        move = self.move
        rows = rows_with(table, move.old, keys)

        def sums(connection: BaseDatabaseWrapper) -> Sums:
            return sums_of(table, connection, self._bounds[table.name], rows)

        before = sums(move.new)
        try:
            with atomic(using=move.target):
                move.engine.delete(move.new, table, rows)
                move.engine.copy(move.old, move.new, table, rows)
                add_up(move, table.name, before, sums(move.new), sums(move.old))
                rows_of(move.new, "SELECT set_config('synchronous_commit', 'on', true)")  # the slot may forget it then
        except IntegrityError:
            with atomic(using=move.target):
                move.engine.delete(move.new, table, rows)
                move.ledger.distrust(table.name, {*before, *sums(move.old)}, recopy=True)
                rows_of(move.new, "SELECT set_config('synchronous_commit', 'on', true)")

    def is_sure_of(self, table: Table) -> bool:
        """Once nobody writes: whether all that happened to the table was told, as far as can be seen without reading
        its rows."""
        move = self.move
        if shape_of(move.old, table.name) != move.ledger.facts["shapes"][table.name]:
            return False
        with ThreadPoolExecutor(max_workers=1) as beside:
            theirs = beside.submit(count_of, move.new, table)
            return count_of(move.old, table) == theirs.result()


def count_of(connection: BaseDatabaseWrapper, table: Table) -> int:
    [(count,)] = rows_of(connection, f"SELECT count(*) FROM {quoted(connection, table.name)}")
    return int(count)


def add_up(move: Move, table: str, before: Sums, after: Sums, theirs: Sums) -> None:
    """Rows that were copied again leave their range known to be the same, if it was, and they are."""
    for span in move.ledger.ranges(table, {*before, *after, *theirs}):
        was, now, wanted = (sums.get(span.number, Sum()) for sums in (before, after, theirs))
        if span.digest:
            span.digest = now.instead_of(was, span.digest) if now == wanted else ""
            move.ledger.update_range(span)
