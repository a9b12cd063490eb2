"""One unit of work for each request, and a token that tells a client's next requests of its writes."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.db import Error, connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from dbrouting import replication
from dbrouting.blocks import everything_ended
from dbrouting.consistency import UNKNOWN, Position, read_token, token_of
from dbrouting.pinning import UnitOfWork, current_unit, working_for
from dbrouting.replicas import primary_alias

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class PrimaryPinningMiddleware:
    """Comes first in ``MIDDLEWARE``: what runs before it is not part of the request's unit of work."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.call_async(request)
        unit = begun(request)
        with working_for(unit), everything_ended():
            settle(unit)
            response: HttpResponseBase = self.get_response(request)
            position = position_after(unit)
        return finished(response, unit, position)

    async def call_async(self, request: HttpRequest) -> HttpResponseBase:
        """The same. What queries does so in the thread of the request's own queries, and so on their connections."""
        unit = begun(request)
        with working_for(unit):
            if unit.required:
                await sync_to_async(settle)(unit)
            response: HttpResponseBase = await self.get_response(request)
            position = await sync_to_async(position_after)(unit) if unit.wrote else None
        return finished(response, unit, position)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> None:
        """The admin shows rows to be edited, and writes back all that it has shown."""
        if request.resolver_match and set(settings.PRIMARY_ONLY_APPS) & set(request.resolver_match.app_names):
            current_unit().pinned = True


def begun(request: HttpRequest) -> UnitOfWork:
    """A request that is going to write reads what it is going to change; one after a write reads its result."""
    unit = UnitOfWork(request.method not in SAFE_METHODS)
    for token in tokens_of(request):
        if (position := read_token(token)) == UNKNOWN:
            unit.pinned = True
        elif position:
            unit.required = position.merged(unit.required)
    request.unit_of_work = unit  # type: ignore[attr-defined]  # our addition
    return unit


def tokens_of(request: HttpRequest) -> Iterator[str]:
    if token := request.COOKIES.get(settings.PRIMARY_PIN_COOKIE):
        yield token
    if settings.PRIMARY_PIN_HEADER and (token := request.headers.get(settings.PRIMARY_PIN_HEADER)):
        yield token


def settle(unit: UnitOfWork) -> None:
    """Let the replica's connection compare the client's position before the first row is read, not while it is: then
    each row knows truly where it came from. A database that is down fails whoever reads it, and nobody else."""
    if unit.required and not unit.pinned and unit.replica != primary_alias():
        with suppress(Error):
            connections[unit.replica].cursor().close()


def position_after(unit: UnitOfWork) -> Position | None:
    """What a replica must have replayed to serve this client again.

    Of a transaction around the request, as a ``TestCase`` has one, no position is known before its end.
    """
    if not unit.wrote:
        return None
    primary = connections[primary_alias()]
    if not settings.REPLICA_POSITIONS or primary.in_atomic_block:
        return UNKNOWN
    try:
        with primary.cursor() as cursor:
            written = replication.written(cursor)
    except Error:
        logger.warning("The primary's position is unknown, so the client is pinned by time.", exc_info=True)
        written = None
    return written.merged(unit.required) if written else UNKNOWN


def finished(response: HttpResponseBase, unit: UnitOfWork, position: Position | None) -> HttpResponseBase:
    if position:
        age = settings.PRIMARY_PIN_SECONDS if position == UNKNOWN else settings.PRIMARY_PIN_COOKIE_AGE
        if age:
            hand_out(token_of(position), age, response)
    # A write in a streamed body comes too late for the token, whose header is sent, but pins the rest of the body.
    belonging: HttpResponseBase = working_for(unit).finished(response)
    return belonging


def hand_out(token: str, age: int, response: HttpResponseBase) -> None:
    """No shared cache may keep the response: it would tell everybody of one client's write."""
    response.set_cookie(
        settings.PRIMARY_PIN_COOKIE,
        token,
        max_age=age,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )
    patch_cache_control(response, private=True)
    patch_vary_headers(response, ("Cookie",))
    if settings.PRIMARY_PIN_HEADER:
        response.headers[settings.PRIMARY_PIN_HEADER] = token
        patch_vary_headers(response, (settings.PRIMARY_PIN_HEADER,))
