"""One unit of work for each request, and a cookie that tells a client's next requests of its writes."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from dbrouting.blocks import everything_ended
from dbrouting.pinning import UnitOfWork, current_unit, working_for

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SALT = "dbrouting.middleware"


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
        unit = request.unit_of_work = UnitOfWork(starts_pinned(request))  # type: ignore[attr-defined]  # our addition
        with working_for(unit), everything_ended():
            response: HttpResponseBase = self.get_response(request)
        return finished(response, unit)

    async def call_async(self, request: HttpRequest) -> HttpResponseBase:
        unit = request.unit_of_work = UnitOfWork(starts_pinned(request))  # type: ignore[attr-defined]  # our addition
        with working_for(unit):
            response: HttpResponseBase = await self.get_response(request)
        return finished(response, unit)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> None:
        """The admin shows rows to be edited, and writes back all that it has shown."""
        if request.resolver_match and set(settings.PRIMARY_ONLY_APPS) & set(request.resolver_match.app_names):
            current_unit().pinned = True


def starts_pinned(request: HttpRequest) -> bool:
    """A request that is going to write reads what it is going to change; one after a write reads its result."""
    return request.method not in SAFE_METHODS or has_written_lately(request)


def has_written_lately(request: HttpRequest) -> bool:
    """Whether the client's cookie says so. It is signed: nobody can send all their reads to the primary."""
    if not settings.PRIMARY_PIN_SECONDS or settings.PRIMARY_PIN_COOKIE not in request.COOKIES:
        return False
    seconds = settings.PRIMARY_PIN_SECONDS + 1  # the signature's time has no fractions
    value = request.get_signed_cookie(settings.PRIMARY_PIN_COOKIE, default=None, salt=SALT, max_age=seconds)
    return value is not None


def finished(response: HttpResponseBase, unit: UnitOfWork) -> HttpResponseBase:
    if unit.wrote and settings.PRIMARY_PIN_SECONDS:
        set_pin_cookie(response)
    # A write in a streamed body comes too late for the cookie, whose header is sent, but pins the rest of the body.
    belonging: HttpResponseBase = working_for(unit).finished(response)
    return belonging


def set_pin_cookie(response: HttpResponseBase) -> None:
    """No shared cache may keep the response: it would pin everybody it is handed to."""
    response.set_signed_cookie(
        settings.PRIMARY_PIN_COOKIE,
        "1",
        salt=SALT,
        max_age=settings.PRIMARY_PIN_SECONDS,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )
    patch_cache_control(response, private=True)
    patch_vary_headers(response, ("Cookie",))
