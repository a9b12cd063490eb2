"""`in_database` under real servers: requests that run at once don't see each other's override."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from processes import free_port, serving
from test_http import SERVERS, serving_by

REQUESTS = 90
FILES = {"default": "default", "auth_db": "auth", "orders_db": "orders"}

PROBE = '''
"""Views that override the database, wait, and tell which file they then read."""

import asyncio
import importlib.util
import time

import dynamic_db_router
from asgiref.sync import sync_to_async
from django.db import connections, router
from django.http import HttpResponse
from django.urls import path

from catalogue.models import Product
from dynamic_db_router import in_database

specification = importlib.util.find_spec("dynamic_db_router.router")
published = importlib.util.module_from_spec(specification)
specification.loader.exec_module(published)


def file_in_use():
    with connections[router.db_for_read(Product)].cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        return cursor.fetchone()[2]


async def asynchronous(request, alias):
    with in_database(alias):
        await asyncio.sleep(0.01)
        return HttpResponse(await sync_to_async(file_in_use)())


def synchronous(request, alias):
    with in_database(alias):
        time.sleep(0.01)
        return HttpResponse(file_in_use())


async def control(request, alias):
    with published.in_database(alias):
        await asyncio.sleep(0.01)
        return HttpResponse(connections.settings[published.DynamicDbRouter().db_for_read(Product)]["NAME"])


urlpatterns = [
    path("", lambda request: HttpResponse("ready")),
    path("async/<alias>/", asynchronous),
    path("sync/<alias>/", synchronous),
    path("control/<alias>/", control),
]
'''


@pytest.fixture
def probed(fresh: Callable[..., Path]) -> Path:
    project = fresh(topology="app-split", database_engine="sqlite")
    (project / "config" / "urls.py").write_text(PROBE)
    (project / "data").mkdir()  # SQLite makes the files
    return project


@pytest.mark.parametrize("server", SERVERS)
def test_requests_at_once_read_the_database_they_asked_for(probed: Path, server: str, tmp_path: Path) -> None:
    port = free_port()
    with serving(probed, serving_by(server, port), port, tmp_path / "server.log") as address:
        assert wrong_answers(address, "async") == 0
        assert wrong_answers(address, "sync") == 0
        if server == "uvicorn":
            assert wrong_answers(address, "control") > 0, "The test can't see the fault it is about."


def wrong_answers(address: str, view: str) -> int:
    """How many of many requests at once read another file than the one of the alias in their URL."""
    aliases = [list(FILES)[number % len(FILES)] for number in range(REQUESTS)]
    one_each = httpx.Limits(max_keepalive_connections=0)  # a thread may close a kept one while another takes it
    with (
        httpx.Client(base_url=address, timeout=60, limits=one_each) as client,
        ThreadPoolExecutor(REQUESTS) as pool,
    ):
        responses = pool.map(lambda alias: client.get(f"/{view}/{alias}/").raise_for_status().text, aliases)
        return sum(Path(found).stem != FILES[alias] for alias, found in zip(aliases, responses, strict=True))
