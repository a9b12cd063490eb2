"""Whatever clients, transactions and failing replicas do in whichever order: each read is one that is promised.

Hypothesis makes up the steps, a model says after each read who may have answered it and with which value, and what
contradicts it is cut down to the few steps that matter. The profiles in conftest.py say how long it searches.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from simulated_servers import PRIMARY, REPLICAS, Servers, simulated_servers

from catalogue.models import Category
from dbrouting.overrides import in_database
from dbrouting.pinning import pin_to_primary, unit_of_work, use_primary
from dbrouting.sql import atomic_for, cursor_for

HEADER = "X-Primary-Pin"
COOLDOWN = 10
SETTINGS = {
    "PRIMARY_PIN_HEADER": HEADER,
    "PRIMARY_PIN_SECONDS": 3600,
    "REPLICA_POSITIONS": True,
    "REPLICA_COOLDOWN_SECONDS": COOLDOWN,
    "ROOT_URLCONF": __name__,
    "MIDDLEWARE": project_settings.DATABASE_MIDDLEWARE,
}
RAW_UPDATE = "UPDATE catalogue_category SET name = %s"

# What it takes to read the number that the row has for a name, and to write another.
READS: dict[str, Callable[[], str]] = {
    "get": lambda: Category.objects.get().name,
    "values": lambda: Category.objects.values_list("name", flat=True)[0],
    "iterator": lambda: next(category.name for category in Category.objects.iterator(chunk_size=1)),
    "raw": lambda: Category.objects.raw("SELECT * FROM catalogue_category")[0].name,
    "cursor": lambda: read_by_cursor(),
}
WRITES: dict[str, Callable[[str], Any]] = {
    "save": lambda name: Category(pk=1, name=name).save(force_update=True),
    "update": lambda name: Category.objects.update(name=name),
    "bulk_update": lambda name: Category.objects.bulk_update([Category(pk=1, name=name)], ["name"]),
    "bulk_create": lambda name: Category.objects.bulk_create(
        [Category(pk=1, name=name)], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
    ),
    "execute": lambda name: write_by_cursor("execute", [name]),
    "executemany": lambda name: write_by_cursor("executemany", [[name]]),
}


def read_by_cursor() -> str:
    with cursor_for(Category, read_only=True) as cursor:
        cursor.execute("SELECT name FROM catalogue_category")
        return str(cursor.fetchone()[0])


def write_by_cursor(method: str, params: list[Any]) -> None:
    with cursor_for(Category) as cursor:
        getattr(cursor, method)(RAW_UPDATE, params)


class RollBackError(Exception):
    """Ends a transaction."""


@dataclass
class Unit:
    """What is known of a unit of work."""

    candidates: set[str]
    failures: dict[str, int]
    required: int = 0
    pinned: bool = False
    wrote: bool = False
    # The replica it has read, and the newest it has seen there.
    replica: str = ""
    seen: int = 0


# What a client is given for its next requests, and the value it stands for; None if it stands for a time.
Token = tuple[str, int | None]


def token_at(tokens: list[Token], index: int | None) -> Token | None:
    return None if index is None or not tokens else tokens[max(index, -len(tokens))]


class World:
    """Runs steps, and compares each read with what is promised.

    A step is the name of a method here, and its argument. Values are whole numbers that grow with each write.
    """

    def __init__(self, servers: Servers) -> None:
        servers.begin_anew()
        self.servers = servers
        self.last_value = 0
        # What the primary shows in the open transactions, the innermost last; and what is committed, in turn.
        self.values = [0]
        self.log = [0]
        # Alias → how much of the log it has.
        self.replayed = dict.fromkeys(REPLICAS, 0)
        self.unit = self.new_unit()
        self.override = ""
        self.blocks_on_primary = 0

    def run(self, steps: list[tuple[str, Any]]) -> None:
        for name, argument in steps:
            getattr(self, name)(argument)

    # Reads and writes

    def read(self, how: str) -> None:
        if self.override:
            self.read_there(how)
            return
        is_free = not (self.blocks_on_primary or self.is_in_transaction or self.unit.pinned)
        self.unit.candidates |= self.well_replicas()
        source, value = self.answer(how)
        if source == PRIMARY:
            assert not is_free or self.may_turn_away(), "a read that a replica could have answered"
            assert value == self.values[-1]
        else:
            assert is_free, "a read of a replica that must be fresh"
            assert source in ({self.unit.replica} if self.unit.replica else self.unit.candidates)
            assert value == self.log[self.replayed[source]]
            self.unit.replica = source
        if is_free:
            self.unit.pinned = source == PRIMARY
            assert value >= self.unit.required, "the client wrote something newer"
            assert value >= self.unit.seen, "the same request has read something newer"
            self.unit.seen = value

    def read_there(self, how: str) -> None:
        """What ``in_database`` promises: this server, or an error."""
        replica = self.servers.replicas.get(self.override)
        if replica and replica.is_down:
            with pytest.raises(OperationalError):
                READS[how]()
            replica.failures.pop()  # which is no reason to leave it out
        else:
            value = self.values[-1] if self.override == PRIMARY else self.log[self.replayed[self.override]]
            assert self.answer(how) == (self.override, value)

    def answer(self, how: str) -> tuple[str, int]:
        """Who answered, and what."""
        self.servers.answered.clear()
        value = READS[how]()
        [source] = self.servers.answered
        return source, int(value)

    def may_turn_away(self) -> bool:
        """Whether there is a reason for the unit to leave its replica, and read the primary from then on."""
        unit = self.unit
        mine = {unit.replica} if unit.replica else unit.candidates
        has_failed = any(count > unit.failures[alias] for alias, count in self.failures().items() if alias in mine)
        is_behind = any(self.log[self.replayed[alias]] < unit.required for alias in mine)
        return has_failed or is_behind or not mine & self.well_replicas()

    def write(self, how: str) -> None:
        self.last_value += 1
        WRITES[how](str(self.last_value))
        self.values[-1] = self.last_value
        self.unit.pinned = self.unit.wrote = True
        self.note_commit()

    def pin(self, _: None) -> None:
        pin_to_primary()
        self.unit.pinned = self.unit.wrote = True

    # Blocks

    @property
    def is_in_transaction(self) -> bool:
        return len(self.values) > 1

    def atomic(self, steps: list[tuple[str, Any]]) -> None:
        self.values.append(self.values[-1])
        with atomic_for(Category):
            self.run(steps)
        self.values[-2:] = self.values[-1:]
        self.note_commit()

    def rolled_back(self, steps: list[tuple[str, Any]]) -> None:
        self.values.append(self.values[-1])
        with suppress(RollBackError), atomic_for(Category):
            self.run(steps)
            raise RollBackError
        self.values.pop()

    def primary_block(self, steps: list[tuple[str, Any]]) -> None:
        self.blocks_on_primary += 1
        with use_primary():
            self.run(steps)
        self.blocks_on_primary -= 1

    def database_block(self, argument: tuple[str, list[tuple[str, Any]]]) -> None:
        outer, (self.override, steps) = self.override, argument
        with in_database(self.override):
            self.run(steps)
        self.override = outer

    def unit_block(self, steps: list[tuple[str, Any]]) -> None:
        with unit_of_work(), self.working_for(self.new_unit()):
            self.run(steps)

    @contextmanager
    def working_for(self, unit: Unit) -> Iterator[None]:
        outer, self.unit = self.unit, unit
        yield
        self.unit = outer

    # What servers do

    def replay(self, argument: tuple[str, int]) -> None:
        """Up to so many commits before the last; none, if the replica has more."""
        alias, missing = argument
        number = max(self.replayed[alias], len(self.log) - 1 - missing)
        self.servers.replay(alias, number)
        self.replayed[alias] = number

    def fail(self, alias: str) -> None:
        self.servers.replicas[alias].is_down = True

    def come_back(self, alias: str) -> None:
        self.servers.replicas[alias].is_down = False

    def wait(self, seconds: float) -> None:
        self.servers.clock.now += seconds

    def note_commit(self) -> None:
        if not self.is_in_transaction and self.values != self.log[-1:]:
            self.servers.commit()
            self.log.append(self.values[-1])

    def failures(self) -> dict[str, int]:
        """How often each replica has failed somebody."""
        return {alias: len(replica.failures) for alias, replica in self.servers.replicas.items()}

    def well_replicas(self) -> set[str]:
        """Those that have not failed anybody within the cooldown, whether they are up or not."""
        start = self.servers.clock.now - COOLDOWN
        replicas = self.servers.replicas.items()
        return {alias for alias, replica in replicas if not replica.failures or replica.failures[-1] <= start}

    def new_unit(self, required: int = 0, pinned: bool = False) -> Unit:
        return Unit(self.well_replicas(), self.failures(), required, pinned)


def view(request: HttpRequest) -> HttpResponse:
    request.META["body"]()
    return HttpResponse()


urlpatterns = [path("", view)]

# Steps

replicas = st.sampled_from(REPLICAS)
reads = st.tuples(st.just("read"), st.sampled_from(list(READS)))
writes = st.tuples(st.just("write"), st.sampled_from(list(WRITES)))
events = st.one_of(
    st.tuples(st.just("replay"), st.tuples(replicas, st.integers(0, 2))),
    st.tuples(st.just("fail"), replicas),
    st.tuples(st.just("come_back"), replicas),
    st.tuples(st.just("wait"), st.sampled_from([COOLDOWN / 2, COOLDOWN])),
)
single_steps = st.one_of(reads, reads, writes, events, st.tuples(st.just("pin"), st.none()))


def blocks_of(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(steps, min_size=1, max_size=3)
    plain = st.tuples(st.sampled_from(["atomic", "rolled_back", "primary_block", "unit_block"]), several)
    return plain | st.tuples(st.just("database_block"), st.tuples(st.sampled_from([PRIMARY, *REPLICAS]), several))


bodies = st.lists(single_steps | blocks_of(single_steps | blocks_of(single_steps)), min_size=1, max_size=3)
# A page asks more than once, and something may happen in between.
pages = st.one_of(st.tuples(reads, reads), st.tuples(reads, events, reads))
browsers = st.sampled_from([0, 1])


class Machine(RuleBasedStateMachine):
    """Two browsers, jobs of a worker, and servers, which take turns; in a body they don't."""

    # Those of the test: Hypothesis makes many machines.
    servers: Servers
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.servers)
        self.tokens: tuple[list[Token], list[Token]] = ([], [])

    @rule(number=browsers, page=pages)
    def look(self, number: int, page: Any) -> None:
        self.request(number, "get", page, cookie=-1, header=None)

    @rule(number=browsers, write=writes, is_lost=st.booleans())
    def change(self, number: int, write: Any, is_lost: bool) -> None:
        self.request(number, "get", [write], cookie=-1, header=None, is_lost=is_lost)

    @rule(number=browsers, page=pages, cookie=st.sampled_from([-1, -2, None]), header=st.sampled_from([-1, -2, None]))
    def look_in_an_old_tab(self, number: int, page: Any, cookie: int | None, header: int | None) -> None:
        self.request(number, "get", page, cookie, header)

    @rule(number=browsers, method=st.sampled_from(["get", "post"]), body=bodies)
    def do_anything(self, number: int, method: str, body: Any) -> None:
        self.request(number, method, body, cookie=-1, header=None)

    def request(
        self, number: int, method: str, body: Any, cookie: int | None, header: int | None, is_lost: bool = False
    ) -> None:
        """``cookie`` and ``header`` say which of the browser's tokens are sent, if any: -1 is the last."""
        tokens, world = self.tokens[number], self.world
        sent = [token_at(tokens, index) for index in (cookie, header)]
        values = [value for _, value in filter(None, sent)]
        required = max((value for value in values if value is not None), default=0)
        unit = world.new_unit(required, pinned=method == "post" or None in values)

        def in_view() -> None:
            with world.working_for(unit):
                world.run(body)

        captures = world.servers.captures
        response = self.send(method, in_view, *(token and token[0] for token in sent))

        given = response.cookies.get(project_settings.PRIMARY_PIN_COOKIE)
        assert (given is not None) == unit.wrote
        assert world.servers.captures - captures == unit.wrote
        if given and not is_lost:
            assert response[HEADER] == given.value
            tokens.append((given.value, world.values[0] if world.servers.tells_positions else None))

    def send(self, method: str, body: Callable[[], None], cookie: str | None, header: str | None) -> Any:
        self.client.cookies.clear()
        if cookie:
            self.client.cookies[project_settings.PRIMARY_PIN_COOKIE] = cookie
        headers = {HEADER: header} if header else {}
        return getattr(self.client, method)("/", headers=headers, body=body)

    @rule(body=bodies)
    def job(self, body: Any) -> None:
        self.world.unit_block(body)

    @rule(event=events)
    def server(self, event: tuple[str, Any]) -> None:
        self.world.run([event])

    @rule(alias=replicas, missing=st.integers(0, 3))
    def put_another_server_there(self, alias: str, missing: int) -> None:
        number = max(0, len(self.world.log) - 1 - missing)
        self.world.servers.replace(alias, number)
        self.world.replayed[alias] = number

    @rule(tells=st.booleans())
    def tell_positions(self, tells: bool) -> None:
        self.world.servers.tells_positions = tells


def test_no_read_is_older_than_promised_nor_dearer_than_needed(tmp_path: Path, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock(), simulated_servers(tmp_path, **SETTINGS) as servers:
        Machine.servers, Machine.client = servers, Client()
        run_state_machine_as_test(Machine)
