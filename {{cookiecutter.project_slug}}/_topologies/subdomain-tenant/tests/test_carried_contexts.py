"""What is begun inside a tenant's block works for that tenant, also when the block has ended."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import router
from django.dispatch import Signal

from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.contexts import ContextThreadPoolExecutor
from dbrouting.tenant_context import CurrentTenant, NoActiveTenantError, get_current_tenant, tenant_context

pytestmark = pytest.mark.no_tenant


def alias_here() -> str:
    return router.db_for_read(Product)


async def alias_later() -> str:
    await asyncio.sleep(0)
    return alias_here()


def called_later(schedule: Callable[[Callable[[], object]], object]) -> Awaitable[str]:
    """What a callback finds that the event loop calls when it comes to it."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    schedule(lambda: found.set_result(alias_here()))
    return found


async def in_a_group() -> str:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(alias_later())
    return task.result()


async def by_a_receiver(receiver: Callable[..., object]) -> str:
    signal = Signal()
    signal.connect(receiver)
    ((_, found),) = await signal.asend(None)
    return str(found)


async def asynchronous_receiver(**kwargs: object) -> str:
    return await alias_later()


def in_executor() -> Awaitable[str]:
    with ContextThreadPoolExecutor(1) as pool:
        return asyncio.get_running_loop().run_in_executor(pool, alias_here)


WAYS: dict[str, Callable[[], Awaitable[str]]] = {
    "create_task": lambda: asyncio.create_task(alias_later()),
    "TaskGroup": lambda: asyncio.create_task(in_a_group()),
    "call_soon": lambda: called_later(asyncio.get_running_loop().call_soon),
    "call_later": lambda: called_later(functools.partial(asyncio.get_running_loop().call_later, 0.001)),
    "to_thread": lambda: asyncio.create_task(asyncio.to_thread(alias_here)),
    "sync_to_async": lambda: asyncio.create_task(sync_to_async(alias_here)()),
    "async_to_sync in sync_to_async": lambda: asyncio.create_task(sync_to_async(async_to_sync(alias_later))()),
    "run_in_executor": in_executor,
    "Signal.asend": lambda: asyncio.create_task(by_a_receiver(lambda **kwargs: alias_here())),
    "Signal.asend, async": lambda: asyncio.create_task(by_a_receiver(asynchronous_receiver)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_begins_inside_a_block_keeps_its_tenant_beyond_its_end(
    way: Callable[[], Awaitable[str]], acme: CurrentTenant, globex: CurrentTenant
) -> None:
    async def main() -> tuple[str, str]:
        with tenant_context(acme):
            ours = way()
        with tenant_context(globex):
            theirs = way()
            found = await ours
        return found, await theirs

    assert asyncio.run(main()) == (acme.alias, globex.alias)


def stock(*tenants: CurrentTenant) -> None:
    for tenant in tenants:
        with tenant_context(tenant):
            for slug in ("small", "large"):
                ProductFactory.create(slug=slug, name=f"Sencha of {tenant.name}")


@pytest.mark.django_db
def test_rows_that_are_read_as_they_are_needed_are_the_tenants_whose_block_the_reading_began_in(
    acme: CurrentTenant, globex: CurrentTenant
) -> None:
    """Two readers in turn, in one task: an ``aiterator`` that is begun has its database."""
    stock(acme, globex)

    async def main() -> list[str]:
        readers = []
        for tenant in (acme, globex):
            with tenant_context(tenant):
                readers.append(aiter(Product.objects.aiterator(chunk_size=1)))
                assert (await anext(readers[-1])).name == f"Sencha of {tenant.name}"
        return [product.name for reader in readers async for product in reader]

    assert async_to_sync(main)() == ["Sencha of acme", "Sencha of globex"]


@pytest.mark.django_db
def test_async_for_over_a_query_set_stays_with_its_tenant(acme: CurrentTenant, globex: CurrentTenant) -> None:
    """Between two rows the loop serves the other."""
    stock(acme, globex)

    async def names(tenant: CurrentTenant) -> set[str]:
        found = set()
        with tenant_context(tenant):
            async for product in Product.objects.all():
                await asyncio.sleep(0)
                category = await sync_to_async(lambda row=product: row.category)()
                found |= {product.name, str(category._state.db)}
        return found

    async def main() -> list[set[str]]:
        return list(await asyncio.gather(names(acme), names(globex)))

    assert async_to_sync(main)() == [{"Sencha of acme", acme.alias}, {"Sencha of globex", globex.alias}]


def test_a_generator_that_leaves_its_block_in_another_task_says_so(acme: CurrentTenant) -> None:
    """An asynchronous generator's steps run in the context of whoever asks for the next one."""

    async def generator() -> AsyncIterator[str]:
        with tenant_context(acme):
            yield alias_here()

    async def first_of(steps: AsyncIterator[str]) -> str:
        return await anext(steps)

    async def main() -> str:
        steps = generator()
        found = await asyncio.create_task(first_of(steps))
        with pytest.raises(NoActiveTenantError):
            alias_here()
        with pytest.raises(RuntimeError, match=r"tenant_context\('acme'\) ends where it did not begin"):
            await anext(steps)
        return found

    assert asyncio.run(main()) == acme.alias


def test_an_asynchronous_context_manager_may_have_a_block_in_it(acme: CurrentTenant) -> None:
    @asynccontextmanager
    async def of_the_tenant() -> AsyncIterator[None]:
        with tenant_context(acme):
            yield

    async def main() -> tuple[str, CurrentTenant | None]:
        async with of_the_tenant():
            found = await alias_later()
        return found, get_current_tenant()

    assert asyncio.run(main()) == (acme.alias, None)
