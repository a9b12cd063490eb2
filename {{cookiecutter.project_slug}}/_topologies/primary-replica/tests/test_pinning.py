"""Pins begin and end where they should: blocks, functions, threads and tasks."""

import asyncio
import contextvars
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connections, router
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View

from catalogue.factories import CategoryFactory
from catalogue.models import Category, Product
from dbrouting import pinning
from dbrouting.contexts import carry_context
from dbrouting.pinning import (
    UnitOfWork,
    current_unit,
    is_pinned_to_primary,
    pin_to_primary,
    unit_of_work,
    use_primary,
)
from dbrouting.replicas import is_replica


def test_a_block_reads_the_primary_and_ends() -> None:
    with use_primary():
        assert router.db_for_read(Product) == "default"
    assert is_replica(router.db_for_read(Product))


def test_a_nested_block_ends_alone_and_the_outer_one_with_it() -> None:
    block = use_primary()
    with block:
        with block, use_primary():
            pass
        assert is_pinned_to_primary()
    assert not is_pinned_to_primary()


def test_a_block_ends_on_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), use_primary(), use_primary():
        _ = 1 / 0
    assert not is_pinned_to_primary()


def test_a_block_in_a_pinned_unit_does_not_unpin_it() -> None:
    pin_to_primary()
    with use_primary():
        pass
    assert is_pinned_to_primary()


@pytest.mark.django_db
def test_a_write_in_a_block_outlasts_it() -> None:
    with use_primary():
        CategoryFactory.create()
    assert is_pinned_to_primary()


def test_a_block_alone_tells_the_client_nothing(unit: UnitOfWork) -> None:
    with use_primary():
        pass
    assert not unit.wrote


def test_a_function_reads_the_primary() -> None:
    @use_primary
    def bare() -> bool:
        return is_pinned_to_primary()

    @use_primary()
    def called(depth: int) -> bool:
        return is_pinned_to_primary() and (depth == 0 or called(depth - 1))

    assert bare()
    assert called(2)
    assert not is_pinned_to_primary()


def test_a_coroutine_function_reads_the_primary_until_it_returns() -> None:
    @use_primary
    async def decorated() -> bool:
        await asyncio.sleep(0)
        return is_pinned_to_primary()

    async def both() -> tuple[bool, bool]:
        return await decorated(), is_pinned_to_primary()

    assert asyncio.run(both()) == (True, False)


def test_a_class_based_view_reads_the_primary() -> None:
    class Page(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(str(is_pinned_to_primary()))

    decorated = method_decorator(use_primary, name="dispatch")(Page)

    for view in (use_primary(Page.as_view()), decorated.as_view()):
        response = cast(HttpResponse, view(RequestFactory().get("/")))
        assert response.content == b"True"
    assert not is_pinned_to_primary()


def test_an_asynchronous_class_based_view_reads_the_primary() -> None:
    class Page(View):
        async def get(self, request: HttpRequest) -> HttpResponse:
            await asyncio.sleep(0)
            return HttpResponse(str(is_pinned_to_primary()))

    decorated = method_decorator(use_primary, name="dispatch")(Page)

    for view in (use_primary(Page.as_view()), decorated.as_view()):
        response = async_to_sync(cast(Any, view))(RequestFactory().get("/"))
        assert response.content == b"True"
    assert not is_pinned_to_primary()


def test_a_task_does_not_pin_its_sibling_by_a_block() -> None:
    inside = asyncio.Event()

    async def in_block() -> None:
        with use_primary():
            inside.set()
            await asyncio.sleep(0.01)

    async def beside() -> bool:
        await inside.wait()
        return is_pinned_to_primary()

    async def both() -> bool:
        return (await asyncio.gather(in_block(), beside()))[1]

    assert not asyncio.run(both())


def test_generators_are_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        use_primary(generator)
    with pytest.raises(TypeError, match="async_generator"):
        use_primary()(async_generator)


def test_a_block_that_a_generator_carries_elsewhere_is_noticed() -> None:
    def generator() -> Iterator[None]:
        with use_primary():
            yield

    carried = generator()
    contextvars.copy_context().run(next, carried)
    with pytest.raises(RuntimeError, match="ends where it did not begin"):
        next(carried)


# Units of work


def test_a_unit_ends_with_its_block_even_on_an_exception() -> None:
    def fail() -> None:
        pin_to_primary()
        raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"), unit_of_work():
        fail()
    assert not is_pinned_to_primary()


def test_a_unit_does_not_inherit_the_pin_around_it() -> None:
    pin_to_primary()
    with unit_of_work():
        assert not is_pinned_to_primary()


def test_outside_of_any_unit_the_context_is_one() -> None:
    def command() -> tuple[bool, bool]:
        before = is_pinned_to_primary()
        pin_to_primary()
        return before, is_pinned_to_primary()

    assert contextvars.Context().run(command) == (False, True)
    assert not is_pinned_to_primary()


def test_a_write_in_a_gathered_task_pins_the_whole_unit() -> None:
    async def write() -> None:
        pin_to_primary()

    async def request() -> bool:
        with unit_of_work():
            await asyncio.gather(write(), asyncio.sleep(0))
            return is_pinned_to_primary()

    assert asyncio.run(request())


@pytest.mark.django_db(transaction=True)
def test_a_write_in_a_thread_pins_the_whole_unit() -> None:
    async def request() -> str:
        with unit_of_work():
            await asyncio.to_thread(create_and_close)
            return router.db_for_read(Category)

    assert asyncio.run(request()) == "default"


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_was_handed_the_context_pins_the_unit(unit: UnitOfWork) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(carry_context(create_and_close)).result()

    assert unit.wrote


def test_a_thread_without_the_context_is_a_unit_of_its_own(unit: UnitOfWork) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pin_to_primary).result()

    assert current_unit() is unit
    assert not unit.pinned


def test_threads_that_choose_a_replica_at_once_agree(unit: UnitOfWork, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose_while_another_thread_does() -> str:
        monkeypatch.setattr(pinning, "choose_replica", lambda: "the other's choice")
        assert unit.replica == "the other's choice"
        return "this one's choice"

    monkeypatch.setattr(pinning, "choose_replica", choose_while_another_thread_does)

    assert unit.replica == unit.replica == "the other's choice"


def test_units_at_work_at_once_do_not_pin_each_other() -> None:
    async def request(number: int) -> bool:
        with unit_of_work():
            if number % 2:
                pin_to_primary()
            await asyncio.sleep(0.001 * (number % 3))
            return is_pinned_to_primary() is bool(number % 2)

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*(request(number) for number in range(60)))

    assert all(asyncio.run(all_of_them()))


def test_the_router_answers_in_the_event_loop() -> None:
    async def ask() -> str:
        return router.db_for_read(Product)

    assert is_replica(asyncio.run(ask()))


def create_and_close() -> None:
    try:
        CategoryFactory.create()
    finally:
        connections.close_all()


def test_a_write_in_a_task_of_a_command_pins_the_command() -> None:
    """Tasks and carried threads take a copy of the context: it has to have a unit in it that they share."""
    script = (
        "import asyncio, django; django.setup()\n"
        "from dbrouting.pinning import is_pinned_to_primary, pin_to_primary\n"
        "async def main():\n"
        "    await asyncio.gather(asyncio.to_thread(pin_to_primary))\n"
        "    print(is_pinned_to_primary())\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"
