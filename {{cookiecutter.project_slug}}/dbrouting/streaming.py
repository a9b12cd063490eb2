"""Streamed bodies are made after the view has returned, and after the ``with`` blocks around it have ended."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


class Holdable(Protocol):
    """What is asked of a block: to be entered for each chunk, and to hold what it needs from first to last."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...


def streamed_in(block: Holdable, response: ResponseT) -> ResponseT:
    """``response``, with its body made and closed inside ``block``: ``streamed_in(in_database("archive"), response)``.

    ``block`` is entered once for each chunk. A file is left alone, for a server may send it without reading it
    here; other responses have their body already.
    """
    if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
        inside = cast(Any, response)  # Django's public attribute wraps the body in generators that don't close it
        stream = _stream_async if response.is_async else _stream
        response.streaming_content = stream(inside._iterator, block)
        block.hold()
        inside._resource_closers[:] = [_closing_in(block, close) for close in inside._resource_closers]
        inside._resource_closers.append(block.release)
    return response


def _closing_in(block: Holdable, close: Callable[[], None]) -> Callable[[], None]:
    def close_in_block() -> None:
        with block:
            close()

    return close_in_block


def _stream(chunks: Iterator[Any], block: Holdable) -> Iterator[Any]:
    """Enter the block for each chunk: between two of them this thread may work for somebody else."""
    while True:
        with block:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
        yield chunk


async def _stream_async(chunks: AsyncIterator[Any], block: Holdable) -> AsyncIterator[Any]:
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
