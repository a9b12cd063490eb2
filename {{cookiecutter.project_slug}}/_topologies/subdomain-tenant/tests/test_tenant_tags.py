"""Error trackers and log records are told whose site it is, sync and async, and when the request is over."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from dbrouting.tags import TagsFilter, current_tags
from dbrouting.tenant_context import CurrentTenant, shared_context, tenant_context

ACME_TAGS = {"tenant": "acme", "database.alias": "tenant_acme"}


def pour() -> Iterator[str]:
    logging.getLogger("shop").warning("pouring")
    yield "tea"
    raise ZeroDivisionError


async def pour_async() -> AsyncIterator[str]:
    for chunk in pour():
        yield chunk


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(pour())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(pour_async())


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


async def fail_async(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("fail/", fail),
    path("fail-async/", fail_async),
    path("stream/", stream),
    path("stream-async/", stream_async),
]


@pytest.fixture
def tagged(caplog: pytest.LogCaptureFixture, settings: Any) -> pytest.LogCaptureFixture:
    settings.ROOT_URLCONF = __name__
    caplog.handler.addFilter(TagsFilter())
    return caplog


@pytest.mark.no_tenant
def test_nobody_the_shared_site_and_a_tenant_are_told_apart(acme: CurrentTenant) -> None:
    assert current_tags() == {}
    with shared_context():
        assert current_tags() == {"database.alias": "default"}
    with tenant_context(acme):
        assert current_tags() == ACME_TAGS


@pytest.mark.django_db
@pytest.mark.no_tenant
@pytest.mark.parametrize("url", ["/fail/", "/fail-async/", "/nowhere/"])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_django_logs_of_a_request_names_its_tenant(
    url: str, is_async: bool, site_client: Client, async_site_client: AsyncClient, tagged: pytest.LogCaptureFixture
) -> None:
    """Error handlers run in another thread if the handler is asynchronous, and 404 is logged after the middleware."""
    site_client.raise_request_exception = async_site_client.raise_request_exception = False

    get = async_to_sync(async_site_client.get) if is_async else site_client.get
    get(url)

    records = [vars(record) for record in tagged.records if record.name == "django.request"]
    assert [record["tags"] for record in records] == ["tenant=acme database.alias=tenant_acme"]


@pytest.mark.no_tenant
def test_a_record_of_another_tenants_block_names_that_one(
    acme: CurrentTenant, globex: CurrentTenant, tagged: pytest.LogCaptureFixture
) -> None:
    request = HttpRequest()
    request.tenant = acme  # type: ignore[attr-defined]  # the middleware's own addition

    with tenant_context(globex):
        logging.getLogger("shop").warning("no tea left", extra={"request": request})

    assert vars(tagged.records[0])["tags"] == "tenant=globex database.alias=tenant_globex"


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_a_streamed_body_that_fails_says_whose_it_was(site_client: Client, tagged: pytest.LogCaptureFixture) -> None:
    """The server meets the error when no tenant is active any more, and logs it with its notes."""
    with pytest.raises(ZeroDivisionError) as caught:
        list(site_client.get("/stream/"))

    assert caught.value.__notes__ == ["This body is streamed inside tenant_context('acme')."]
    assert vars(tagged.records[-1])["tags"] == "tenant=acme database.alias=tenant_acme"


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_so_does_an_asynchronous_one(async_site_client: AsyncClient, tagged: pytest.LogCaptureFixture) -> None:
    async def read() -> None:
        response: Any = await async_site_client.get("/stream-async/")
        [_ async for _ in response]

    with pytest.raises(ZeroDivisionError) as caught:
        async_to_sync(read)()

    assert caught.value.__notes__ == ["This body is streamed inside tenant_context('acme')."]
    assert vars(tagged.records[-1])["tags"] == "tenant=acme database.alias=tenant_acme"


def test_each_line_of_the_log_names_its_tenant(settings: Any) -> None:
    """As config/databases.py sets it up for the root logger, and so for all."""
    console = settings.LOGGING["handlers"][settings.LOGGING["root"]["handlers"][0]]
    record = logging.LogRecord("shop", logging.WARNING, __file__, 1, "no tea left", None, None)

    assert [settings.LOGGING["filters"][name] for name in console["filters"]] == [{"()": "dbrouting.tags.TagsFilter"}]
    TagsFilter().filter(record)
    line = logging.Formatter(settings.LOGGING["formatters"][console["formatter"]]["format"]).format(record)

    assert line.endswith("WARNING shop [tenant=acme database.alias=tenant_acme] no tea left")
