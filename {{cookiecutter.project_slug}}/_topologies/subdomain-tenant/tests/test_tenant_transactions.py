"""With ``TENANT_ATOMIC_REQUESTS`` a view is in a transaction of its site's database, and of no other."""

from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from catalogue.factories import CategoryFactory
from catalogue.models import Category
from dbrouting.aliases import usable_aliases

pytestmark = pytest.mark.django_db


def open_transactions(request: HttpRequest) -> JsonResponse:
    """Where the view is in one; a test's own is around it everywhere."""
    return JsonResponse([alias for alias in usable_aliases() if connections[alias].savepoint_ids], safe=False)


def write_and_fail(request: HttpRequest) -> JsonResponse:
    CategoryFactory.create(slug="tea")
    raise ZeroDivisionError


async def asynchronous(request: HttpRequest) -> JsonResponse:
    return JsonResponse([], safe=False)


@transaction.non_atomic_requests
async def asynchronous_exempt(request: HttpRequest) -> JsonResponse:
    return JsonResponse([], safe=False)


# The decorator marks the function that it is given, so what is exempt here is another one.
urlpatterns = [
    path("open/", open_transactions),
    path("exempt/", transaction.non_atomic_requests(partial(open_transactions))),
    path("exempt-there/", transaction.non_atomic_requests(using="tenant_acme")(partial(open_transactions))),
    path("fail/", write_and_fail),
    path("fail-exempt/", transaction.non_atomic_requests(partial(write_and_fail))),
    path("asynchronous/", asynchronous),
    path("asynchronous-exempt/", asynchronous_exempt),
]


@pytest.fixture(autouse=True)
def _switched_on(settings: Any) -> None:
    settings.ROOT_URLCONF = settings.SHARED_URLCONF = __name__
    settings.TENANT_ATOMIC_REQUESTS = True


@pytest.mark.parametrize(
    ("host", "alias"),
    [("acme.localhost", "tenant_acme"), ("globex.localhost", "tenant_globex"), ("localhost", DEFAULT_DB_ALIAS)],
)
def test_a_view_is_in_a_transaction_of_its_site_alone(host: str, alias: str) -> None:
    assert Client(headers={"host": host}).get("/open/").json() == [alias]


def test_so_is_a_synchronous_view_behind_an_asynchronous_server(async_site_client: AsyncClient) -> None:
    assert async_to_sync(async_site_client.get)("/open/").json() == ["tenant_acme"]


@pytest.mark.parametrize("url", ["/exempt/", "/exempt-there/"])
def test_a_view_may_be_exempt(url: str, site_client: Client) -> None:
    assert site_client.get(url).json() == []


def test_nothing_of_it_happens_unless_it_is_switched_on(settings: Any, site_client: Client) -> None:
    settings.TENANT_ATOMIC_REQUESTS = False

    assert site_client.get("/open/").json() == []


@pytest.mark.parametrize(("url", "is_kept"), [("/fail/", False), ("/fail-exempt/", True)])
def test_what_a_view_wrote_before_it_failed_is_undone(url: str, is_kept: bool, site_client: Client) -> None:
    site_client.raise_request_exception = False

    assert site_client.get(url).status_code == 500
    assert Category.objects.filter(slug="tea").exists() is is_kept


def test_an_asynchronous_view_is_refused_unless_it_is_exempt(async_site_client: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match=r"asynchronous with @transaction\.non_atomic_requests"):
        async_to_sync(async_site_client.get)("/asynchronous/")

    assert async_to_sync(async_site_client.get)("/asynchronous-exempt/").status_code == 200
