"""Many tenants at once under real servers: whatever a view does, it finds the rows of its own tenant and no others."""

import asyncio
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import DatabasesOf, bake_in
from databases import Databases
from processes import free_port, manage, run, serving
from pytest_cookies.plugin import Cookies
from test_http import serving_by

pytestmark = pytest.mark.once

SITE = Path(__file__).parent / "tenant_load_site"
TENANTS = [f"t{number}" for number in range(50)]
AT_ONCE = 200
REQUESTS = 600

# View → how many names it gives: its own tenant's, so many times.
VIEWS = {
    "in_a_view": 3,
    "in_sql": 1,
    "in_a_stream": 3,
    "in_a_template": 1,
    "in_the_cache": 2,
    "in_an_executor": 3,
    "in_a_log": 1,
    "in_writing": 1,
    "in_a_coroutine": 3,
    "in_a_loop": 1,
    "routed_in_the_loop": 1,
    "in_tasks": 3,
    "in_sync_to_async": 2,
    "in_to_thread": 1,
    "in_run_in_executor": 1,
    "in_an_async_stream": 3,
    "in_the_cache_async": 1,
}

OF_TENANTS = [one for one in COMBINATIONS if one.topology == "subdomain-tenant"]
# What threads do differently they do on the others too, in a third of the time.
IN_THREADS = [one for one in OF_TENANTS if one.database_engine != "mysql"]


class Answer(NamedTuple):
    """What ``tenant`` was told by a view; without a ``status`` the connection broke."""

    tenant: str
    view: str
    status: int | None
    names: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return self.status == 200 and self.names == (self.tenant,) * VIEWS[self.view]

    @property
    def has_foreign_rows(self) -> bool:
        return self.status == 200 and any(name != self.tenant for name in self.names)


class Crowd:
    """A project with many tenants, each of which has a row that bears its name."""

    def __init__(self, project: Path, databases: Databases) -> None:
        self.project = project
        self.databases = databases
        self.environment = {**databases.environment, "DJANGO_DEBUG": "False", "DJANGO_USE_HTTPS": "False"}
        self.environment |= {"DJANGO_ALLOWED_HOSTS": ".localhost", "TENANT_MAX_CONNECTIONS": "50"}
        shutil.copytree(SITE, project / SITE.name)
        manage(project, "bootstrap", **self.environment)
        run(project, "python", "-m", f"{SITE.name}.make", str(len(TENANTS)), **self.environment_of("ours"))

    def environment_of(self, settings: str) -> dict[str, str]:
        return {**self.environment, "DJANGO_SETTINGS_MODULE": f"{SITE.name}.{settings}"}

    def answers(self, server: str, settings: str, log: Path) -> list[Answer]:
        port = free_port()
        command = serving_by(server, port)
        with serving(self.project, command, port, log, **self.environment_of(settings)) as address:
            return asyncio.run(ask_all(address))

    def customers(self) -> set[tuple[str, str]]:
        """Whose orders are in which place, seen without any Django in between."""
        return {
            (Path(place.name).stem, row["customer_name"])
            for place in self.databases.places()
            for row in self.databases.rows(place, "orders_order")
            if row["customer_name"] in TENANTS
        }


async def ask_all(address: str) -> list[Answer]:
    """Each tenant on its own, then all at once: views and tenants in no order."""
    questions = [(TENANTS[number % len(TENANTS)], list(VIEWS)[number % len(VIEWS)]) for number in range(REQUESTS)]
    random.shuffle(questions)
    at_once = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(
        base_url=address, timeout=60, limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
    ) as client:

        async def ask(tenant: str, view: str) -> Answer:
            async with at_once:
                try:
                    response = await client.get(f"/{view}/", headers={"Host": f"{tenant}.localhost"})
                except httpx.TransportError as error:  # a streamed body broke
                    return Answer(tenant, view, None, (repr(error),))
            return Answer(tenant, view, response.status_code, tuple(response.text.split()))

        for tenant in TENANTS:
            await ask(tenant, "in_a_view")
        return await asyncio.gather(*(ask(*question) for question in questions))


@pytest.fixture(scope="module")
def crowds(cookies_session: Cookies, template: Path, databases: DatabasesOf) -> Callable[[Combination], Crowd]:
    ready: dict[Combination, Crowd] = {}

    def crowd(combination: Combination) -> Crowd:
        if combination not in ready:
            project = bake_in(cookies_session, template, **combination._asdict())
            ready[combination] = Crowd(project, databases(project, combination, "crowd"))
        return ready[combination]

    return crowd


@variants(OF_TENANTS)
def test_in_one_event_loop_every_row_is_its_tenants_own(
    crowds: Callable[[Combination], Crowd], combination: Combination, tmp_path: Path
) -> None:
    require_own_rows(crowds(combination), "uvicorn", tmp_path / "server.log")


@variants(IN_THREADS)
def test_in_threads_every_row_is_its_tenants_own(
    crowds: Callable[[Combination], Crowd], combination: Combination, tmp_path: Path
) -> None:
    require_own_rows(crowds(combination), "gunicorn", tmp_path / "server.log")


def require_own_rows(crowd: Crowd, server: str, log: Path) -> None:
    """In answers, log records, and the databases that requests wrote to."""
    answers = crowd.answers(server, "ours", log)

    assert [answer for answer in answers if not answer.is_right] == []
    assert {answer.view for answer in answers} == set(VIEWS)
    records = re.findall(r"tenant_load_site \[(.*)\] read by (\w+)", log.read_text("utf-8"))
    assert len(records) == sum(answer.view == "in_a_log" for answer in answers)
    assert [(tags, name) for tags, name in records if f"tenant={name}" not in tags.split()] == []
    assert {place.rpartition("_")[2] == name for place, name in crowd.customers()} == {True}


@variants([Combination("subdomain-tenant", "postgresql", "schema")])
@pytest.mark.parametrize(("server", "settings"), [("uvicorn", "of_thread"), ("gunicorn", "of_process")])
def test_a_tenant_that_requests_share_is_seen_by_this_test(
    crowds: Callable[[Combination], Crowd], combination: Combination, server: str, settings: str, tmp_path: Path
) -> None:
    """The control: the same project, whose active tenant is kept where requests that run at once can change it."""
    answers = crowds(combination).answers(server, settings, tmp_path / "server.log")

    foreign = Counter(answer.view for answer in answers if answer.has_foreign_rows)
    assert foreign
