"""Wherever a request or a command writes, it sees what it wrote, wherever it reads: threads, tasks, streamed bodies.

Each is tried twice: with the project's router, and with the one that most people write first.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core.management import BaseCommand, call_command
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from catalogue.models import Product
from dbrouting.contexts import carry_context
from dbrouting.pinning import unit_of_work

R = TypeVar("R")

OLD, NEW = 10, 3


def sell() -> None:
    Product.objects.update(stock=NEW)


def look() -> list[Any]:
    """How many there are, and who says so."""
    product = Product.objects.get()
    return [product.stock, product._state.db]


def in_thread(function: Callable[[], R]) -> Callable[[], R]:
    """For a thread that isn't the test's: its connections end with it."""

    def inner() -> R:
        try:
            return function()
        finally:
            connections.close_all()

    return inner


def write_in_pool(request: HttpRequest) -> HttpResponse:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(carry_context(in_thread(sell))).result()
    return JsonResponse(look(), safe=False)


def read_in_pool(request: HttpRequest) -> HttpResponse:
    sell()
    with ThreadPoolExecutor(1) as pool:
        return JsonResponse(pool.submit(carry_context(in_thread(look))).result(), safe=False)


async def write_in_executor(request: HttpRequest) -> HttpResponse:
    await asyncio.get_running_loop().run_in_executor(None, carry_context(in_thread(sell)))
    return JsonResponse(await sync_to_async(look)(), safe=False)


async def read_in_executor(request: HttpRequest) -> HttpResponse:
    await sync_to_async(sell)()
    seen = await asyncio.get_running_loop().run_in_executor(None, carry_context(in_thread(look)))
    return JsonResponse(seen, safe=False)


async def write_in_to_thread(request: HttpRequest) -> HttpResponse:
    await asyncio.to_thread(in_thread(sell))
    return JsonResponse(await sync_to_async(look)(), safe=False)


async def read_in_to_thread(request: HttpRequest) -> HttpResponse:
    await sync_to_async(sell)()
    return JsonResponse(await asyncio.to_thread(in_thread(look)), safe=False)


async def write_in_gather(request: HttpRequest) -> HttpResponse:
    await asyncio.gather(sync_to_async(sell)(), asyncio.sleep(0))
    return JsonResponse(await sync_to_async(look)(), safe=False)


async def read_in_gather(request: HttpRequest) -> HttpResponse:
    await sync_to_async(sell)()
    seen, _ = await asyncio.gather(sync_to_async(look)(), asyncio.sleep(0))
    return JsonResponse(seen, safe=False)


def write_in_body(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        sell()
        yield ""
        yield json.dumps(look())

    return StreamingHttpResponse(body())


def read_in_body(request: HttpRequest) -> StreamingHttpResponse:
    sell()
    return StreamingHttpResponse(json.dumps(ask()) for ask in [look])


async def write_in_async_body(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        await sync_to_async(sell)()
        yield ""
        yield json.dumps(await sync_to_async(look)())

    return StreamingHttpResponse(body())


async def read_in_async_body(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        yield json.dumps(await sync_to_async(look)())

    await sync_to_async(sell)()
    return StreamingHttpResponse(body())


VIEWS: list[Callable[[HttpRequest], Any]] = [
    *(write_in_pool, read_in_pool, write_in_executor, read_in_executor),
    *(write_in_to_thread, read_in_to_thread, write_in_gather, read_in_gather),
    *(write_in_body, read_in_body, write_in_async_body, read_in_async_body),
]
urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]


def visit(view: Callable[[HttpRequest], Any]) -> Any:
    """What the view has seen, asked by a new client."""
    address = f"/{view.__name__}/"
    text = async_to_sync(get_async)(address) if iscoroutinefunction(view) else Client().get(address).getvalue()
    return json.loads(text)


async def get_async(address: str) -> str:
    response: Any = await AsyncClient().get(address)
    chunks = [chunk async for chunk in response] if response.streaming else [response.content]
    return b"".join(chunks).decode()


@pytest.fixture(autouse=True)
def _urls(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


@pytest.mark.usefixtures("stale_replica")
def test_a_request_sees_what_it_wrote() -> None:
    assert {view.__name__: visit(view) for view in VIEWS} == {view.__name__: [NEW, "default"] for view in VIEWS}


@pytest.mark.usefixtures("obvious_router")
def test_the_obvious_router_asks_the_replica(stale_replica: str) -> None:
    assert {visit(view)[1] for view in VIEWS} == {stale_replica}


# Commands


class SellAndLook(BaseCommand):
    def handle(self, **options: Any) -> None:
        sell()
        self.seen = look()


class WorkThroughJobs(BaseCommand):
    """Two jobs: each looks, writes, and looks again."""

    def handle(self, **options: Any) -> None:
        self.seen = [self.job() for _ in range(2)]

    @unit_of_work()
    def job(self) -> list[Any]:
        before = look()
        sell()
        return [before, look()]


@pytest.mark.usefixtures("stale_replica")
def test_a_command_sees_what_it_wrote() -> None:
    command = SellAndLook()
    call_command(command)

    assert command.seen == [NEW, "default"]


@pytest.mark.usefixtures("obvious_router")
def test_with_the_obvious_router_a_command_does_not(stale_replica: str) -> None:
    command = SellAndLook()
    call_command(command)

    assert command.seen == [OLD, stale_replica]


def test_each_job_of_a_command_sees_what_it_wrote_and_begins_with_the_replica(stale_replica: str) -> None:
    command = WorkThroughJobs()
    call_command(command)

    assert command.seen == [[[OLD, stale_replica], [NEW, "default"]]] * 2
