"""Clients that write and read a baked project's site, all at once, while a test does something to its servers."""

import itertools
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

import httpx
from processes import free_port, manage, serving, wait_until
from servers import Cluster, Server
from test_http import serving_by

SITE = Path(__file__).parent / "load_site"
DATABASE = "shop_load"
ALWAYS_THERE = "tea"  # a row of the demo data
CLIENTS = 16
TIMEOUT = 10.0
PAUSES = 0.2  # at most; after a write none
READS_AFTER_A_WRITE = 40  # at most: longer than a pin of PIN_SECONDS
PIN_SECONDS = 1
OWN, OTHERS, WRITE = "own rows", "other rows", "writes"
READS = (OWN, OTHERS)


class Answer(NamedTuple):
    """What became of a request. Without a ``status`` there was none within TIMEOUT, or the connection broke."""

    phase: str
    kind: str
    began: float
    seconds: float
    status: int | None
    port: int | None = None
    is_found: bool = True

    @property
    def is_wrong(self) -> bool:
        """A read that misses a write of which this client had been told that it succeeded."""
        return self.status == 200 and not self.is_found

    @property
    def is_failed(self) -> bool:
        return self.status != 200


class Load:
    """In the block clients come and go on: most write a row and read it, the others only read what is always there.

    Each has its own cookies and its own connection. ``during`` names what is being done meanwhile.
    """

    def __init__(self, shop: "Shop", address: str, writers: int, readers: int = 0, views: str = "") -> None:
        self.shop = shop
        self.address = address
        self.views = views
        self.answers: list[Answer] = []
        self.written: list[str] = []
        self._clients = [self._write_and_read] * writers + [self._read] * readers
        self._name = uuid4().hex[:8]  # rows of other loads stay
        self._phase = "start"
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(len(self._clients))
        self._ends: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._ends = [self._pool.submit(self._come, run, number) for number, run in enumerate(self._clients)]
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._pool.shutdown()
        self.shop.record("figures", self.figures())
        for end in self._ends:
            end.result()  # what was not foreseen is raised here

    def during(self, phase: str, seconds: float, *actions: Callable[[], object]) -> None:
        """Do this while the clients go on, and leave them to it for a while."""
        self._phase = phase
        for act in actions:
            act()
        time.sleep(seconds)

    def until_read_from(self, server: Server, *kinds: str) -> None:
        """Leave the clients to it until this server has answered one of them."""
        phase = self._phase
        wait_until(lambda: self.read_from(server, *kinds, phase=phase) > 0, f"{server.name} is read", seconds=60)

    def _come(self, run: Callable[[httpx.Client, str], None], number: int) -> None:
        with httpx.Client(base_url=self.address, headers={"Host": "localhost"}, timeout=TIMEOUT) as client:
            run(client, f"{self._name}-{number}")

    def _write_and_read(self, client: httpx.Client, name: str) -> None:
        latest = ALWAYS_THERE
        for number in itertools.count(1):
            key = f"{name}-{number}"
            if self._ask(client, WRITE, key).status == 200:
                self.written.append(key)
                latest = key
            for _ in range(random.randint(1, READS_AFTER_A_WRITE)):
                self._ask(client, OWN, latest)
                if self._pause():
                    return

    def _read(self, client: httpx.Client, name: str) -> None:
        while not self._pause():
            self._ask(client, OTHERS, ALWAYS_THERE)

    def _pause(self) -> bool:
        """Whether it is over."""
        return self._is_over.wait(random.uniform(0, PAUSES))

    def _ask(self, client: httpx.Client, kind: str, key: str) -> Answer:
        method, view = ("POST", "write") if kind == WRITE else ("GET", "read")
        phase, began = self._phase, time.monotonic()
        status, said = None, {}
        try:
            response = client.request(method, f"/{self.views}{view}/{key}/")
        except httpx.TransportError:
            pass  # an answer without a status says so
        else:
            status = response.status_code
            said = response.json() if status == 200 else {}
        seconds = time.monotonic() - began
        answer = Answer(phase, kind, began, seconds, status, said.get("port"), said.get("found", True))
        self.answers.append(answer)
        return answer

    def of(self, *kinds: str, phase: str = "") -> list[Answer]:
        """Requests of these kinds; in one phase, or in all."""
        return [answer for answer in self.answers if answer.kind in kinds and phase in {"", answer.phase}]

    @property
    def wrong_reads(self) -> list[Answer]:
        return [answer for answer in self.of(*READS) if answer.is_wrong]

    @property
    def failed_reads(self) -> list[Answer]:
        return [answer for answer in self.of(*READS) if answer.is_failed]

    @property
    def failed_writes(self) -> list[Answer]:
        return [answer for answer in self.of(WRITE) if answer.is_failed]

    def read_from(self, server: Server, *kinds: str, phase: str = "") -> int:
        """How many reads this server answered."""
        return sum(answer.port == server.port for answer in self.of(*kinds or READS, phase=phase))

    def outage(self, *kinds: str) -> str:
        """How many failed of those that were asked, and how long it took from the first to the last of them."""
        asked = self.of(*kinds)
        failed = [answer for answer in asked if answer.is_failed]
        end = max((answer.began + answer.seconds for answer in failed), default=0)
        seconds = end - min((answer.began for answer in failed), default=0)
        return f"{' and '.join(kinds)}: {len(failed)} of {len(asked)} failed, within {seconds:.1f} s"

    def figures(self) -> str:
        """A table with a line for each phase, and one for all."""
        servers = [self.shop.cluster.primary, *self.shop.cluster.replicas]
        names = "/".join(server.name for server in servers)
        titles = [
            "",
            *["writes", "failed", "reads", "wrong", "failed", "slowest"],
            *(f"{kind}: {names}" for kind in READS),
        ]
        phases = dict.fromkeys(answer.phase for answer in self.answers)
        lines = [titles, *(self._line(phase, phase, servers) for phase in phases), self._line("all", "", servers)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) if number else cell.ljust(width) for number, (cell, width) in enumerate(row))
            for row in (zip(line, widths, strict=True) for line in lines)
        )

    def _line(self, title: str, phase: str, servers: Iterable[Server]) -> list[str]:
        reads, writes = self.of(*READS, phase=phase), self.of(WRITE, phase=phase)
        figures = [
            len(writes),
            sum(answer.is_failed for answer in writes),
            len(reads),
            sum(answer.is_wrong for answer in reads),
            sum(answer.is_failed for answer in reads),
        ]
        slowest = max((answer.seconds for answer in reads), default=0)
        shares = ("/".join(str(self.read_from(server, kind, phase=phase)) for server in servers) for kind in READS)
        return [title, *map(str, figures), f"{1000 * slowest:.0f} ms", *shares]


class Shop:
    """A baked project with the load tests' views, whose databases are on a cluster of the test's own."""

    def __init__(self, project: Path, cluster: Cluster, record: Callable[[str, object], object] = print) -> None:
        self.project = project
        self.cluster = cluster
        self.record = record
        self.environment = {
            "DATABASE_URL": cluster.primary.url(DATABASE),
            "REPLICA_URLS": " ".join(replica.url(DATABASE) for replica in cluster.replicas),
            "DATABASE_ADMIN_URL": "",
            "DJANGO_DEBUG": "False",  # whose error pages read rows, too
            "DJANGO_USE_HTTPS": "False",
            "DJANGO_ALLOWED_HOSTS": "localhost",
            "PRIMARY_PIN_SECONDS": str(PIN_SECONDS),
            "REPLICA_CHECK_SECONDS": "1",
            "REPLICA_COOLDOWN_SECONDS": "2",
        }

    def prepare(self) -> None:
        shutil.copytree(SITE, self.project / SITE.name, dirs_exist_ok=True)
        manage(self.project, "bootstrap", "--demo", **self.environment)
        for replica in self.cluster.replicas:
            replica.catch_up()

    @contextmanager
    def served(self, server: str = "gunicorn", settings: str = "ours") -> Iterator[str]:
        """The address, by one of SERVERS and with one module of settings of the load tests."""
        port, log = free_port(), self.project / f"{server}-{settings}.log"
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": f"{SITE.name}.{settings}"}
        with serving(self.project, serving_by(server, port), port, log, **environment) as address:
            yield address

    def rows_on(self, server: Server) -> set[str]:
        return {slug for (slug,) in server.execute("SELECT slug FROM catalogue_category", database=DATABASE)}
