"""Error trackers and log records are told whose site it is, sync and async, and when the request is over."""

import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from dbrouting.tags import TagsFilter, current_tags
from dbrouting.tenant_context import CurrentTenant, shared_context, tenant_context

ACME_TAGS = {"tenant": "acme", "database.alias": "tenant_acme"}


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


async def fail_async(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [path("fail/", fail), path("fail-async/", fail_async)]


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
