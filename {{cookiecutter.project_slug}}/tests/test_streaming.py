"""A streamed body is routed like the view that made it, though it is made after the view has returned."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from catalogue.models import Product
from dbrouting.aliases import usable_aliases
from dbrouting.overrides import OverrideRouter, current_override, in_database
from dbrouting.streaming import streamed_in

ALIAS = usable_aliases()[-1]


def routed_to() -> str:
    return str(OverrideRouter().db_for_read(Product))


def body(closed: list[str]) -> Iterator[str]:
    try:
        for _ in range(3):
            yield routed_to()
    finally:
        closed.append(routed_to())


async def async_body(closed: list[str]) -> AsyncIterator[str]:
    try:
        for _ in range(3):
            yield routed_to()
    finally:
        closed.append(routed_to())


def test_every_chunk_is_made_and_the_body_closed_inside_the_block() -> None:
    closed: list[str] = []
    response = streamed_in(in_database(ALIAS), StreamingHttpResponse(body(closed)))

    for chunk in response:
        assert chunk == ALIAS.encode()
        assert current_override() is None  # between two chunks the thread may work for somebody else
    assert closed == [ALIAS]


@pytest.mark.django_db  # closing a response closes old connections
def test_a_body_that_is_given_up_is_closed_inside_the_block() -> None:
    closed: list[str] = []
    response = streamed_in(in_database(ALIAS), StreamingHttpResponse(body(closed)))

    next(iter(response))
    response.close()

    assert closed == [ALIAS]
    assert current_override() is None


def test_asynchronous_bodies_too() -> None:
    closed: list[str] = []

    async def main() -> list[str]:
        response = streamed_in(in_database(ALIAS), StreamingHttpResponse(async_body(closed)))
        return [chunk.decode() async for chunk in response]

    assert asyncio.run(main()) == [ALIAS] * 3
    assert closed == [ALIAS]


def test_a_response_with_a_body_is_left_alone() -> None:
    response = HttpResponse(b"done")

    assert streamed_in(in_database(ALIAS), response) is response
    assert response.content == b"done"
