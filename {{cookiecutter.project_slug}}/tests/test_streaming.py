"""A streamed body is routed like the view that made it, though it is made after the view has returned."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

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


def test_an_asynchronous_body_that_is_given_up_is_closed_inside_the_block() -> None:
    closed: list[str] = []

    async def main() -> None:
        response = streamed_in(in_database(ALIAS), StreamingHttpResponse(async_body(closed)))
        chunks = cast(Any, response)._iterator
        assert await anext(chunks) == ALIAS
        await chunks.aclose()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert closed == [ALIAS]


def test_a_file_is_left_to_the_server_and_a_generator_in_its_place_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (tmp_path / "file").open("rb") as file:
        response = FileResponse(file)
        assert streamed_in(in_database(ALIAS), response).file_to_stream is not None
    made = streamed_in(in_database(ALIAS), FileResponse(chunk.encode() for chunk in body([])))
    assert b"".join(cast(Any, made)) == ALIAS.encode() * 3


def test_a_response_with_a_body_is_left_alone() -> None:
    response = HttpResponse(b"done")

    assert streamed_in(in_database(ALIAS), response) is response
    assert response.content == b"done"
