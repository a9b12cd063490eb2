"""Streamed bodies are made after the view has returned, and after the ``with`` blocks around it have ended."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, TypeVar, cast

from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from dbrouting.blocks import Block

ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


def streamed_in(block: Block[Any], response: ResponseT) -> ResponseT:
    """``response``, with its body made and closed inside ``block``: ``streamed_in(in_database("archive"), response)``.

    A file is left alone, for a server may send it without reading it here; other responses have their body already.
    """
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        inside = cast(Any, response)  # Django's public attribute wraps the body in generators that don't close it
        stream = _stream_async if response.is_async else _stream
        response.streaming_content = stream(inside._iterator, block)
        inside._resource_closers[:] = [block(close) for close in inside._resource_closers]
    return response


def _stream(chunks: Iterator[Any], block: Block[Any]) -> Iterator[Any]:
    """Enter the block for each chunk: between two of them this thread may work for somebody else."""
    while True:
        with block:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
        yield chunk


async def _stream_async(chunks: AsyncIterator[Any], block: Block[Any]) -> AsyncIterator[Any]:
    """The same; and close the body in the block, for the event loop would do it in whatever context it is in."""
    try:
        while True:
            with block:
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            with block:
                await chunks.aclose()
