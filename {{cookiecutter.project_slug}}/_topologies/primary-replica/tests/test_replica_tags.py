"""Error trackers and log records are told which server the reads go to, and why."""

import asyncio

import pytest
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from dbrouting.middleware import PrimaryPinningMiddleware
from dbrouting.pinning import pin_to_primary, unit_of_work, use_primary
from dbrouting.replicas import primary_alias
from dbrouting.tags import current_tags


def test_the_replica_of_the_unit_is_named_as_long_as_it_is_read() -> None:
    with unit_of_work():
        before = [current_tags() for _ in range(5)]
        pin_to_primary()
        after = current_tags()

    assert before == [before[0]] * 5
    assert before[0]["database.alias"] in settings.REPLICA_DATABASES
    assert before[0]["database.pinned"] == "no"
    assert after == {"database.alias": primary_alias(), "database.pinned": "yes"}


@pytest.mark.django_db(transaction=True)
def test_a_block_and_a_transaction_read_the_primary() -> None:
    with use_primary():
        assert current_tags() == {"database.alias": primary_alias(), "database.pinned": "yes"}
    with transaction.atomic(using=primary_alias()):
        assert current_tags() == {"database.alias": primary_alias(), "database.pinned": "no"}


def test_an_answered_request_knows_what_it_read(rf: RequestFactory) -> None:
    """Django logs a 404 when the middleware is done with it."""
    read: list[dict[str, str]] = []

    def find_nothing(request: HttpRequest) -> HttpResponse:
        read.append(current_tags())
        return HttpResponse(status=404)

    async def find_nothing_either(request: HttpRequest) -> HttpResponse:
        return find_nothing(request)

    async def ask(request: HttpRequest) -> None:
        await PrimaryPinningMiddleware(find_nothing_either).call_async(request)

    posted, fetched = rf.post("/"), [rf.get("/") for _ in range(10)]
    PrimaryPinningMiddleware(find_nothing)(posted)
    for request in fetched:
        asyncio.run(ask(request))

    assert [current_tags(request=request) for request in (posted, *fetched)] == read
    assert read[0] == {"database.alias": primary_alias(), "database.pinned": "yes"}
