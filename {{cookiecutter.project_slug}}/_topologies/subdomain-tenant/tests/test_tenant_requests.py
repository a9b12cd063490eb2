"""A request works for its host's tenant: in every thread and task of it, in its streamed body, and after errors."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import LazySettings
from django.db import connections, router
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils import translation

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.blocks import Frame, Frames
from dbrouting.middleware import SubdomainTenantMiddleware
from dbrouting.overrides import current_override, in_database
from dbrouting.tenant_context import (
    CurrentTenant,
    NoActiveTenantError,
    Site,
    get_current_tenant,
    is_shared_context,
    shared_context,
    tenant_context,
)
from dbrouting.tenant_names import alias_of
from tenants.lookup import FoundTenant
from tenants.models import Tenant

pytestmark = pytest.mark.no_tenant

ROWS = {
    f"{name}.localhost": FoundTenant(f"id of {name}", name, alias_of(name), "", True) for name in ("acme", "globex")
}
HOSTS = list(ROWS)


def alias_at(host: str) -> str:
    return ROWS[host].alias


def alias_here() -> str:
    return router.db_for_read(Product)


def find(hosts: list[str]) -> FoundTenant | None:
    return ROWS.get(hosts[0])


def with_middleware(view: Callable[[HttpRequest], Any]) -> SubdomainTenantMiddleware:
    """The middleware around ``view``, knowing its tenants without a table: what is tested is the context."""
    middleware = SubdomainTenantMiddleware(view)
    middleware.look_up = find
    return middleware


def request_to(host: str) -> HttpRequest:
    return RequestFactory().get("/", headers={"host": host})


def get(view: Callable[[HttpRequest], Any], host: str) -> Any:
    return with_middleware(view)(request_to(host))


async def aget(view: Callable[[HttpRequest], Awaitable[Any]], host: str) -> Any:
    return await with_middleware(view)(request_to(host))  # type: ignore[misc]  # it is asynchronous with such a view


# One request


def test_a_view_works_for_the_tenant_of_its_host() -> None:
    seen: list[object] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.extend([alias_here(), request.tenant, get_current_tenant()])  # type: ignore[attr-defined]
        return HttpResponse()

    get(view, "globex.localhost")

    current = CurrentTenant.of(ROWS["globex.localhost"])
    assert seen == ["tenant_globex", current, current]
    assert get_current_tenant() is None


def test_the_base_domain_has_no_tenant_on_purpose() -> None:
    seen: list[object] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.extend([is_shared_context(), router.db_for_read(User), request.tenant, request.urlconf])  # type: ignore[attr-defined]
        return HttpResponse()

    get(view, "localhost")

    assert seen == [True, "default", None, "tenants.urls_shared"]
    assert not is_shared_context()


def test_it_is_asynchronous_only_around_an_asynchronous_view() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(alias_here())

    assert iscoroutinefunction(with_middleware(view))
    assert not iscoroutinefunction(with_middleware(lambda request: HttpResponse()))
    assert asyncio.run(aget(view, "acme.localhost")).content == b"tenant_acme"


def test_an_error_of_the_view_leaves_no_tenant_behind() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    async def async_view(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await aget(async_view, "acme.localhost")
        assert get_current_tenant() is None

    with pytest.raises(ZeroDivisionError):
        get(view, "acme.localhost")
    assert get_current_tenant() is None
    asyncio.run(main())


@pytest.mark.parametrize(
    "block",
    [lambda: in_database("archive"), lambda: tenant_context(ROWS["acme.localhost"])],
    ids=["in_database", "tenant_context"],
)
def test_what_a_view_leaves_open_ends_with_its_request(
    block: Callable[[], AbstractContextManager[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator that nobody finished: the same thread serves the next request."""
    monkeypatch.setitem(connections.settings, "archive", connections.settings["tenant_acme"])
    left: list[Iterator[None]] = []

    def generator() -> Iterator[None]:
        with block():
            yield

    def careless(request: HttpRequest) -> HttpResponse:
        left.append(generator())
        next(left[0])
        return HttpResponse()

    def two_requests() -> HttpResponse:
        get(careless, "acme.localhost")
        assert (current_override(), get_current_tenant()) == (None, None)
        response: HttpResponse = get(lambda request: HttpResponse(alias_here()), "globex.localhost")
        return response

    assert copy_context().run(two_requests).content == b"tenant_globex"
    with pytest.raises(RuntimeError, match="ends where it did not begin"):
        next(left[0])


def test_what_a_view_sets_besides_is_there_for_its_streamed_body() -> None:
    def view(request: HttpRequest) -> StreamingHttpResponse:
        translation.activate("de")
        return StreamingHttpResponse(translation.get_language() for _ in range(1))

    assert copy_context().run(lambda: list(get(view, "acme.localhost"))) == [b"de"]


def test_a_database_that_a_view_leaves_borrowed_is_given_back() -> None:
    left: list[Iterator[str]] = []

    def generator() -> Iterator[str]:
        with in_database({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}) as borrowed:
            yield str(borrowed.database)

    def careless(request: HttpRequest) -> HttpResponse:
        left.append(generator())
        return HttpResponse(next(left[0]))

    def serve() -> str:
        response: HttpResponse = get(careless, "acme.localhost")
        return response.content.decode()

    assert copy_context().run(serve) not in connections.settings
    with pytest.raises(RuntimeError, match="ends where it did not begin"):
        next(left[0])


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("host", "alias"),
    [("globex.localhost", b"tenant_globex"), ("static.test", b"tenant_globex"), ("localhost", b"default")],
)
def test_a_request_says_itself_whose_it_is(
    acme: CurrentTenant, settings: LazySettings, host: str, alias: bytes, is_async: bool
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    settings.DYNAMIC_DB_ROUTES = {"static.test": "tenant_globex"}

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(router.db_for_read(User))

    async def async_view(request: HttpRequest) -> HttpResponse:
        return view(request)

    with tenant_context(acme):
        response = asyncio.run(aget(async_view, host)) if is_async else get(view, host)
        assert response.content == alias
        assert get_current_tenant() == acme


def test_what_a_proxy_says_of_the_host_is_ignored() -> None:
    request = RequestFactory().get("/", headers={"host": "acme.localhost", "x-forwarded-host": "globex.localhost"})

    response: Any = with_middleware(lambda request: HttpResponse(alias_here()))(request)

    assert response.content == b"tenant_acme"


def test_looking_up_the_tenant_does_not_block_the_event_loop() -> None:
    """The look-up waits for something that only the loop can do."""

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(alias_here())

    async def main() -> bytes:
        loop_went_on = threading.Event()

        def slow(hosts: list[str]) -> FoundTenant | None:
            assert loop_went_on.wait(5), "the event loop stood still"
            return find(hosts)

        middleware = with_middleware(view)
        middleware.look_up = slow
        asyncio.get_running_loop().call_later(0.01, loop_went_on.set)
        response: Any = await middleware(request_to("acme.localhost"))  # type: ignore[misc]
        return bytes(response.content)

    assert asyncio.run(main()) == b"tenant_acme"


# Many at once


async def aliases_seen(host: str, everybody: asyncio.Barrier, *, in_threads: bool) -> set[str]:
    """Where a request would have queried that takes turns with all the others, step by step."""
    seen: set[str] = set()

    async def view(request: HttpRequest) -> HttpResponse:
        for _ in range(3):
            await everybody.wait()
            seen.add(alias_here())
            if in_threads:
                seen.add(await asyncio.to_thread(alias_here))
                seen.add(await sync_to_async(alias_here)())
        return HttpResponse()

    await aget(view, host)
    return seen


def serve_twenty(*, in_threads: bool = True) -> list[set[str]]:
    async def main() -> list[set[str]]:
        hosts = HOSTS * 10
        everybody = asyncio.Barrier(len(hosts))
        return await asyncio.gather(*(aliases_seen(host, everybody, in_threads=in_threads) for host in hosts))

    return asyncio.run(main())


OWN_ROWS_ONLY = [{alias_at(host)} for host in HOSTS * 10]


def test_concurrent_requests_never_meet() -> None:
    assert serve_twenty() == OWN_ROWS_ONLY


def test_concurrent_requests_never_meet_after_one_was_entered_before(acme: CurrentTenant) -> None:
    with shared_context(), tenant_context(acme):
        assert serve_twenty() == OWN_ROWS_ONLY


def test_thread_local_state_does_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the tests above can see the fault they are about."""

    class ThreadLocal(threading.local):
        frame: Frame[CurrentTenant | None] | None = None

    class ThreadLocalFrames(Frames[CurrentTenant | None]):
        def __init__(self) -> None:
            self.local = ThreadLocal()
            self.innermost = lambda: self.local.frame

        def push(self, value: CurrentTenant | None, owner: Any) -> None:
            self.local.frame = Frame(value, owner, self.local.frame)

        def pop(self, owner: Any) -> CurrentTenant | None:
            frame = self.local.frame
            assert frame
            self.local.frame = frame.outer
            return frame.value

    monkeypatch.setattr(Site, "frames", ThreadLocalFrames())

    assert get(lambda request: HttpResponse(alias_here()), "acme.localhost").content == b"tenant_acme"
    assert serve_twenty(in_threads=False) != OWN_ROWS_ONLY


# Streamed bodies


def body(closed: list[str]) -> Iterator[str]:
    try:
        for _ in range(3):
            yield alias_here()
    finally:
        closed.append(alias_here())


async def async_body(closed: list[str]) -> AsyncIterator[str]:
    try:
        for _ in range(3):
            yield alias_here()
            await asyncio.sleep(0)
    finally:
        closed.append(alias_here())


def test_a_streamed_body_works_for_the_requests_tenant() -> None:
    closed: list[str] = []
    responses = {host: get(lambda request: StreamingHttpResponse(body(closed)), host) for host in HOSTS}
    streams = {host: iter(response) for host, response in responses.items()}

    for _ in range(3):
        for host, stream in streams.items():  # two bodies in turn: neither keeps its tenant between two chunks
            assert next(stream) == alias_at(host).encode()
            with pytest.raises(NoActiveTenantError):
                alias_here()
    for host, stream in streams.items():
        assert list(stream) == []
        assert closed.pop() == alias_at(host)


def test_a_body_that_is_given_up_is_closed_for_its_tenant(db: None) -> None:
    closed: list[str] = []
    response = get(lambda request: StreamingHttpResponse(body(closed)), "acme.localhost")

    next(iter(response))
    response.close()

    assert closed == ["tenant_acme"]
    assert get_current_tenant() is None


def test_an_asynchronous_body_that_is_given_up_is_closed_for_its_tenant() -> None:
    closed: list[str] = []

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(async_body(closed))

    async def main() -> None:
        stream = aiter(await aget(view, "acme.localhost"))
        assert await anext(stream) == b"tenant_acme"
        await stream.aclose()
        del stream
        while not closed:  # the event loop closes what is collected as garbage
            gc.collect()
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), timeout=5))

    assert closed == ["tenant_acme"]
    assert get_current_tenant() is None


def test_asynchronous_bodies_of_concurrent_requests_never_meet() -> None:
    closed: list[str] = []

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(async_body(closed))

    async def read(host: str) -> bool:
        response = await aget(view, host)
        chunks = []
        async for chunk in response:
            await asyncio.sleep(0.001)
            chunks.append(chunk.decode())
        return chunks == [alias_at(host)] * 3 and get_current_tenant() is None

    async def main() -> list[bool]:
        return await asyncio.gather(*(read(host) for host in HOSTS * 10))

    assert all(asyncio.run(main()))
    assert sorted(closed) == ["tenant_acme"] * 10 + ["tenant_globex"] * 10


# The whole site


@pytest.mark.django_db
def test_two_tenants_have_their_own_users_sessions_and_rows(acme: CurrentTenant, globex: CurrentTenant) -> None:
    clients = {tenant: Client(headers={"host": f"{tenant.name}.localhost"}) for tenant in (acme, globex)}
    for tenant, client in clients.items():
        with tenant_context(tenant):
            client.force_login(UserFactory.create(username="ada", first_name=f"Ada of {tenant.name}"))
            product = ProductFactory.create(slug="sencha", name=f"Sencha of {tenant.name}")
        client.post("/orders/place/", {"product": product.slug, "quantity": 1})

    for tenant, client in clients.items():
        page = client.get("/orders/").content.decode()
        assert f"Sencha of {tenant.name}" in page
        assert f"Ada of {tenant.name}" in page
        assert f"<code>{tenant.alias}</code>" in page
        (other,) = set(clients) - {tenant}
        assert other.name not in page


@pytest.mark.django_db
def test_a_session_of_one_tenant_is_unknown_to_the_other(acme: CurrentTenant) -> None:
    client = Client(headers={"host": "acme.localhost"})
    with tenant_context(acme):
        client.force_login(UserFactory.create())

    assert client.get("/orders/").status_code == 200
    assert client.get("/orders/", headers={"host": "globex.localhost"}).status_code == 302


@pytest.mark.django_db
def test_concurrent_requests_through_the_whole_site_get_their_own_rows(
    acme: CurrentTenant, globex: CurrentTenant
) -> None:
    for tenant in (acme, globex):
        with tenant_context(tenant):
            ProductFactory.create(name=f"Sencha of {tenant.name}")

    class ClientOf(AsyncClient):
        def __init__(self, host: str) -> None:
            super().__init__()
            self.host = host.encode()

        async def request(self, **request: Any) -> Any:
            others = [(name, value) for name, value in request["headers"] if name != b"host"]
            return await super().request(**{**request, "headers": [*others, (b"host", self.host)]})

    async def names(host: str) -> list[str]:
        response = await ClientOf(host).get("/api/products/")
        return [product["name"] for product in response.json()["products"]]

    async def main() -> list[list[str]]:
        return await asyncio.gather(*(names(host) for host in HOSTS * 10))

    assert async_to_sync(main)() == [["Sencha of acme"], ["Sencha of globex"]] * 10


@pytest.mark.django_db
def test_the_shared_site_shows_its_page_and_an_admin_of_its_own() -> None:
    client = Client(headers={"host": "localhost"})
    with shared_context():
        client.force_login(UserFactory.create(is_staff=True, is_superuser=True))

    assert "This is the shared site" in client.get("/").content.decode()
    assert client.get("/orders/").status_code == 404
    index = client.get("/admin/").content.decode()
    assert "/admin/tenants/tenant/" in index
    assert "/admin/orders/" not in index
    tenant = Tenant.objects.get(name="acme")
    pages = [
        *("tenants/tenant/", "tenants/tenant/add/", f"tenants/tenant/{tenant.pk}/change/"),
        *("reference/currency/add/", "accounts/user/add/"),
    ]
    for page in pages:
        assert client.get(f"/admin/{page}").status_code == 200


@pytest.mark.django_db
def test_the_shared_page_names_no_customer_in_production() -> None:
    assert "acme.localhost:" not in Client(headers={"host": "localhost"}).get("/").content.decode()
