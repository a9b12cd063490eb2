"""Each view answers with the names it found, one a line: all must be the tenant's that was asked.

Before each it waits, so that other requests come in between.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import router
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from catalogue.models import Category
from dbrouting.contexts import carry_context
from dbrouting.sql import cursor_for
from orders.models import Order

PAUSE = 0.005
TIMES = 3
executor = ThreadPoolExecutor(4)
logger = logging.getLogger("tenant_load_site")


def row() -> str:
    time.sleep(PAUSE)
    return Category.objects.get(slug="own").name


async def arow() -> str:
    await asyncio.sleep(PAUSE)
    return (await Category.objects.aget(slug="own")).name


def lines(*names: str) -> HttpResponse:
    return HttpResponse("".join(f"{name}\n" for name in names))


def in_a_view(request: HttpRequest) -> HttpResponse:
    return lines(*(row() for _ in range(TIMES)))


def in_sql(request: HttpRequest) -> HttpResponse:
    time.sleep(PAUSE)
    with cursor_for(Category) as cursor:
        cursor.execute("SELECT name FROM catalogue_category")
        return lines(*(name for (name,) in cursor.fetchall()))


def in_a_stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        for _ in range(TIMES):
            yield f"{row()}\n"

    return StreamingHttpResponse(body())


def in_a_template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "rows.txt", {"rows": Category.objects.all()})


def in_the_cache(request: HttpRequest) -> HttpResponse:
    cache.set("name", row())
    time.sleep(PAUSE)
    return lines(cache.get("name"), cache.get_or_set("first", row))


def in_an_executor(request: HttpRequest) -> HttpResponse:
    return lines(*(future.result() for future in [executor.submit(carry_context(row)) for _ in range(TIMES)]))


def in_a_log(request: HttpRequest) -> HttpResponse:
    name = row()
    logger.warning("read by %s", name)
    return lines(name)


def in_writing(request: HttpRequest) -> HttpResponse:
    order = Order.objects.create(customer_id=1, customer_name=row())
    return lines(Order.objects.get(pk=order.pk).customer_name)


async def in_a_coroutine(request: HttpRequest) -> HttpResponse:
    return lines(*[await arow() for _ in range(TIMES)])


async def in_a_loop(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(PAUSE)
    return lines(*[row.name async for row in Category.objects.all()])


async def routed_in_the_loop(request: HttpRequest) -> HttpResponse:
    """As related managers are: by the event loop's own thread."""
    await asyncio.sleep(PAUSE)
    return lines((await Category.objects.using(router.db_for_read(Category)).aget(slug="own")).name)


async def in_tasks(request: HttpRequest) -> HttpResponse:
    return lines(*await asyncio.gather(*(arow() for _ in range(TIMES))))


async def in_sync_to_async(request: HttpRequest) -> HttpResponse:
    return lines(await sync_to_async(row)(), await sync_to_async(row, thread_sensitive=False)())


async def in_to_thread(request: HttpRequest) -> HttpResponse:
    return lines(await asyncio.to_thread(row))


async def in_run_in_executor(request: HttpRequest) -> HttpResponse:
    return lines(await asyncio.get_running_loop().run_in_executor(executor, carry_context(row)))


async def in_an_async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        for _ in range(TIMES):
            yield f"{await arow()}\n"

    return StreamingHttpResponse(body())


async def in_the_cache_async(request: HttpRequest) -> HttpResponse:
    await cache.aset("async name", await arow())
    await asyncio.sleep(PAUSE)
    return lines(await cache.aget("async name"))


VIEWS = [
    *(in_a_view, in_sql, in_a_stream, in_a_template, in_the_cache, in_an_executor, in_a_log, in_writing),
    *(in_a_coroutine, in_a_loop, routed_in_the_loop, in_tasks, in_sync_to_async, in_to_thread, in_run_in_executor),
    *(in_an_async_stream, in_the_cache_async),
]
urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]
