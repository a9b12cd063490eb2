"""A request that wrote reads the primary, and so do the next ones of the same client."""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core import signing
from django.db import router, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting import replication
from dbrouting.consistency import UNKNOWN, Position, read_token, signer, token_of
from dbrouting.middleware import PrimaryPinningMiddleware
from dbrouting.overrides import current_override, in_database
from dbrouting.pinning import UnitOfWork, current_unit, is_pinned_to_primary, pin_to_primary, use_primary
from dbrouting.replicas import is_replica
from dbrouting.testing import assert_routed_to

pytestmark = pytest.mark.django_db
COOKIE = "primary_pin"


def source() -> str:
    """Which database answers now."""
    return router.db_for_read(Product)


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{source()} {source()}")


def write(request: HttpRequest) -> HttpResponse:
    before = source()
    CategoryFactory.create()
    return HttpResponse(f"{before} {source()}", headers={"Cache-Control": "public, max-age=60"})


left_open: list[Generator[None, None, None]] = []


def leave_open(request: HttpRequest) -> HttpResponse:
    def generator() -> Generator[None, None, None]:
        with in_database("default"):
            yield

    left_open.append(generator())
    next(left_open[0])
    return HttpResponse(source())


def fail_after_writing(request: HttpRequest) -> HttpResponse:
    CategoryFactory.create()
    raise ValueError("fails")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        yield f"{source()} "
        CategoryFactory.create()
        yield f"{source()} "
        yield source()

    return StreamingHttpResponse(body())


async def read_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{source()} {await sync_to_async(source)()}")


async def write_async(request: HttpRequest) -> HttpResponse:
    before = source()
    await Category.objects.acreate(name="Tea", slug="tea")
    return HttpResponse(f"{before} {source()}")


async def write_in_a_task(request: HttpRequest) -> HttpResponse:
    before = source()
    await asyncio.gather(Category.objects.acreate(name="Tea", slug="tea"), asyncio.sleep(0))
    return HttpResponse(f"{before} {source()}")


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        yield f"{source()} "
        await Category.objects.acreate(name="Tea", slug="tea")
        yield f"{source()} "
        yield source()

    return StreamingHttpResponse(body())


@use_primary
def read_primary(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{source()} {source()}")


def pin(request: HttpRequest) -> HttpResponse:
    pin_to_primary()
    return HttpResponse(f"{source()} {source()}")


urlpatterns = [
    path(f"{view.__name__}/", view) for view in (read, write, fail_after_writing, leave_open, stream, read_primary, pin)
] + [path(f"{view.__name__}/", view) for view in (read_async, write_async, write_in_a_task, stream_async)]


@pytest.fixture(autouse=True)
def _urls(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def client() -> Client:
    return Client()


def sources(response: HttpResponseBase) -> list[str]:
    return text(response).split()


def text(response: Any) -> str:
    if not response.streaming:
        return str(response.content.decode())
    if not response.is_async:
        return b"".join(response).decode()

    async def collect() -> bytes:
        return b"".join([chunk async for chunk in response])

    return async_to_sync(collect)().decode()


def get_async(address: str, method: str = "get") -> Any:
    return async_to_sync(getattr(AsyncClient(), method))(address)


# Within a request


def test_a_reading_request_reads_one_replica(client: Client) -> None:
    first, second = sources(client.get("/read/"))

    assert first == second
    assert is_replica(first)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_an_unsafe_method_reads_the_primary_from_the_start(client: Client, method: str) -> None:
    assert sources(getattr(client, method)("/read/")) == ["default", "default"]


@pytest.mark.parametrize("method", ["get", "head", "options", "trace"])
def test_a_safe_method_does_not_pin(client: Client, method: str) -> None:
    response = getattr(client, method)("/read/")

    assert not response.wsgi_request.unit_of_work.pinned
    assert COOKIE not in response.cookies


def test_a_write_in_a_get_pins_the_rest_of_the_request(client: Client) -> None:
    before, after = sources(client.get("/write/"))

    assert is_replica(before)
    assert after == "default"


@pytest.mark.parametrize("view", ["write_async", "write_in_a_task"])
def test_a_write_in_an_async_view_pins_the_rest_of_the_request(view: str) -> None:
    response = get_async(f"/{view}/")
    before, after = sources(response)

    assert is_replica(before)
    assert after == "default"
    assert COOKIE in response.cookies


def test_an_async_request_reads_one_replica_in_loop_and_threads() -> None:
    first, second = sources(get_async("/read_async/"))

    assert first == second
    assert is_replica(first)


def test_an_async_middleware_before_ours_can_tell_that_it_must_await_us() -> None:
    assert iscoroutinefunction(PrimaryPinningMiddleware(read_async))
    assert not iscoroutinefunction(PrimaryPinningMiddleware(read))


def test_an_async_request_with_an_unsafe_method_is_pinned() -> None:
    assert sources(get_async("/read_async/", "post")) == ["default", "default"]


def test_a_request_leaves_nothing_behind(client: Client, unit: UnitOfWork) -> None:
    client.get("/write/")
    get_async("/write_async/")
    with pytest.raises(ValueError, match="fails"):
        client.post("/fail_after_writing/")

    assert current_unit() is unit
    assert not unit.pinned
    assert is_replica(source())


def test_forty_async_clients_at_once_keep_to_themselves() -> None:
    async def visit(number: int) -> bool:
        response = await getattr(AsyncClient(), "post" if number % 2 else "get")("/read_async/")
        return {is_replica(alias) for alias in response.content.decode().split()} == {not number % 2}

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*(visit(number) for number in range(40)))

    assert all(async_to_sync(all_of_them)())


# Bodies that are made after the middleware returned


@pytest.mark.parametrize("view", ["stream", "stream_async"])
def test_a_streaming_body_belongs_to_its_request(client: Client, view: str, unit: UnitOfWork) -> None:
    response = client.get("/stream/") if view == "stream" else get_async("/stream_async/")
    before, *after = sources(response)

    assert is_replica(before)
    assert after == ["default", "default"]
    assert not unit.pinned
    assert is_pinned_to_primary() is False


@pytest.mark.parametrize("view", ["stream", "stream_async"])
def test_the_streaming_body_of_a_pinned_request_reads_the_primary(client: Client, view: str) -> None:
    response = client.post("/stream/") if view == "stream" else get_async("/stream_async/", "post")

    assert sources(response) == ["default"] * 3


def test_two_streams_at_once_keep_to_themselves(client: Client) -> None:
    pinned, free = (iter(getattr(client, method)("/stream/").streaming_content) for method in ("post", "get"))
    first = [next(pinned), next(free)]

    assert first[0] == b"default "
    assert is_replica(first[1].decode().strip())


def test_a_file_is_left_to_the_server() -> None:
    with Path(__file__).open("rb") as file:
        response = PrimaryPinningMiddleware(lambda request: FileResponse(file))(HttpRequest())

    assert isinstance(response, FileResponse)
    assert response.file_to_stream  # what wsgi.file_wrapper sends


# The next requests of the same client


def test_the_next_requests_of_who_wrote_read_the_primary(client: Client) -> None:
    client.get("/write/")

    assert sources(client.get("/read/")) == ["default", "default"]
    assert is_replica(sources(Client().get("/read/"))[0])


def test_a_post_that_wrote_pins_the_next_requests(client: Client) -> None:
    client.post("/write/")

    assert sources(client.get("/read/")) == ["default", "default"]


def test_a_request_that_was_pinned_but_wrote_nothing_pins_no_next_one(client: Client) -> None:
    assert COOKIE not in client.post("/read/").cookies
    assert COOKIE not in client.get("/read_primary/").cookies


def test_reading_does_not_prolong_the_pin(client: Client) -> None:
    client.get("/write/")

    assert COOKIE not in client.get("/read/").cookies


def test_pinning_by_hand_pins_the_next_requests_too(client: Client) -> None:
    assert sources(client.get("/pin/")) == ["default", "default"]
    assert sources(client.get("/read/")) == ["default", "default"]


def test_a_write_that_was_rolled_back_pins_all_the_same(client: Client, settings: Any) -> None:
    client.raise_request_exception = False
    with transaction.atomic():
        response = client.get("/fail_after_writing/")

    assert response.status_code == 500
    assert COOKIE in response.cookies


@pytest.mark.parametrize("secure", [True, False])
def test_the_cookie_is_kept_from_scripts_and_other_sites(client: Client, settings: Any, secure: bool) -> None:
    settings.SESSION_COOKIE_SECURE = secure
    cookie = client.get("/write/").cookies[COOKIE]

    assert cookie["httponly"]
    assert cookie["samesite"] == settings.SESSION_COOKIE_SAMESITE
    assert cookie["domain"] == (settings.SESSION_COOKIE_DOMAIN or "")
    assert cookie["path"] == settings.SESSION_COOKIE_PATH
    assert bool(cookie["secure"]) is secure
    assert cookie["max-age"] == settings.PRIMARY_PIN_SECONDS


def test_the_cookie_goes_wherever_the_session_goes(client: Client, settings: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE, settings.SESSION_COOKIE_DOMAIN = "None", "example.com"
    settings.SESSION_COOKIE_PATH = "/shop/"
    client.get("/write/")
    cookie = client.cookies[COOKIE]

    assert (cookie["samesite"], cookie["domain"], cookie["path"]) == ("None", "example.com", "/shop/")


def test_the_admin_reads_the_primary(admin_client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = "config.urls"
    ProductFactory.create()
    admin_client.cookies.pop(COOKIE, None)

    with assert_routed_to("default"):
        assert admin_client.get("/admin/catalogue/product/").status_code == 200


def test_a_generator_that_a_view_leaves_open_does_not_wait_for_the_next_request(client: Client) -> None:
    client.get("/leave_open/")

    assert is_replica(client.get("/read/").content.decode().split()[0])
    assert current_override() is None
    with pytest.raises(RuntimeError, match="ends where it did not begin"):
        left_open.pop().close()


def test_a_pin_ends(client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.get("/write/")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + settings.PRIMARY_PIN_SECONDS - 0.5)
    assert sources(client.get("/read/"))[0] == "default"

    monkeypatch.setattr(time, "time", lambda: now + settings.PRIMARY_PIN_SECONDS + 2)
    assert is_replica(sources(client.get("/read/"))[0])


def test_a_cookie_signed_as_ours_is_believed(client: Client) -> None:
    client.cookies[COOKIE] = token_of(UNKNOWN)

    assert sources(client.get("/read/"))[0] == "default"


@pytest.mark.parametrize(
    "forge",
    [
        lambda: "1",
        lambda: "",
        lambda: "1:2:3",
        lambda: "é:ü",
        lambda: token_of(UNKNOWN)[:-1],
        lambda: token_of(UNKNOWN).replace(":", "|+1:", 1),
        lambda: signing.TimestampSigner(salt="another").sign(""),
        lambda: signing.TimestampSigner(key="another project", salt=signer().salt).sign(""),
        lambda: signing.Signer(salt=signer().salt).sign(""),
        lambda: signer().sign("no position"),
    ],
)
def test_a_forged_cookie_is_ignored(client: Client, forge: Any) -> None:
    client.cookies[COOKIE] = forge()
    response = client.get("/read/")

    assert response.status_code == 200
    assert is_replica(sources(response)[0])


def test_a_transaction_around_the_request_has_no_position_yet(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a test: a replica that has come so far may still lack what is written."""
    monkeypatch.setattr(replication, "written", lambda cursor: Position("c", (("", 1),)))
    response = client.get("/write/")

    assert read_token(response.cookies[COOKIE].value) == UNKNOWN


def test_zero_seconds_switch_the_cookie_off(client: Client, settings: Any) -> None:
    settings.PRIMARY_PIN_SECONDS = 0
    response = client.get("/write/")
    assert sources(response)[1] == "default"
    assert COOKIE not in response.cookies

    client.cookies[COOKIE] = token_of(UNKNOWN)
    assert is_replica(sources(client.get("/read/"))[0])


# Caches


def test_no_shared_cache_keeps_the_response_that_sets_the_cookie(client: Client) -> None:
    response = client.get("/write/")

    assert "private" in response["Cache-Control"]
    assert "public" not in response["Cache-Control"]
    assert "Cookie" in response["Vary"]


def test_other_responses_are_left_as_they_are(client: Client) -> None:
    response = client.get("/read/")

    assert "Cache-Control" not in response
    assert "Vary" not in response


def test_djangos_cache_hands_the_cookie_to_nobody(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": __name__}}
    ours, *others = settings.MIDDLEWARE
    cache = ["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]
    settings.MIDDLEWARE = [ours, cache[0], *others, cache[1]]

    assert COOKIE in Client().get("/write/").cookies
    assert COOKIE not in Client().get("/write/").cookies
