"""What is made of a result after the function has returned, and after the ``with`` blocks around it have ended:
query sets are evaluated, templates rendered, bodies streamed.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, TypeVar, cast

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from dbrouting.blocks import Block

ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


def streamed_in(block: Block[Any], response: ResponseT) -> ResponseT:
    """``response``, with its body made and closed inside ``block``: ``streamed_in(in_database("archive"), response)``.

    ``block`` is entered once for each chunk. A file is left alone, for a server may send it without reading it
    here; other responses have their body already.
    """
    if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
        inside = cast(Any, response)  # Django's public attribute wraps the body in generators that don't close it
        stream = _stream_async if response.is_async else _stream
        response.streaming_content = stream(inside._iterator, block)
        block.hold()
        inside._resource_closers[:] = [block(close) for close in inside._resource_closers]
        inside._resource_closers.append(block.release)
    return response


def rendered_in(block: Block[Any], response: SimpleTemplateResponse) -> SimpleTemplateResponse:
    """``response``, which Django renders after the view has returned, rendered inside ``block``."""
    render = response.render

    def render_in_block() -> SimpleTemplateResponse:
        del response.render  # once; the response may be pickled afterwards
        with block:
            return render()

    response.render = render_in_block  # type: ignore[method-assign]  # of this one response
    return response


def bound(query_set: QuerySet[Any]) -> QuerySet[Any]:
    """``query_set`` with the database that it has here, unless it was told one or has its rows."""
    is_open = query_set._db is None and query_set._result_cache is None  # type: ignore[attr-defined]  # Django's own
    return query_set.using(query_set.db) if is_open else query_set


def finish(block: Block[Any], result: Any) -> Any:
    """What blocks do with the result of a function or view that they decorate."""
    if isinstance(result, QuerySet):
        return bound(result)
    if isinstance(result, SimpleTemplateResponse) and not result.is_rendered:
        return rendered_in(block, result)
    return streamed_in(block, result) if isinstance(result, HttpResponseBase) else result


def _whereabouts(block: Block[Any]) -> str:
    """For the server's own log: it meets the error outside of the block, where nothing says any more what it was."""
    return f"This body is streamed inside {block}."


def _stream(chunks: Iterator[Any], block: Block[Any]) -> Iterator[Any]:
    """Enter the block for each chunk: between two of them this thread may work for somebody else."""
    while True:
        with block:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            except Exception as error:
                error.add_note(_whereabouts(block))
                raise
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
                except Exception as error:
                    error.add_note(_whereabouts(block))
                    raise
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            with block:
                await chunks.aclose()


Block.finishers.append(finish)
