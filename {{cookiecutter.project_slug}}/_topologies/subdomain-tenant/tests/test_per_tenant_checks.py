"""What would be good on more than one site is an error before anything runs."""

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.apps import AppConfig
from django.conf import LazySettings
from django.contrib.sessions.backends import db
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from dbrouting.per_tenant import checks, guards
from dbrouting.per_tenant.files import SiteStorage
from dbrouting.sample_tenant import SAMPLE
from dbrouting.tenant_context import get_current_tenant


def ids(check: Callable[..., list[CheckMessage]]) -> list[str]:
    configs: list[AppConfig] | None = None
    return [str(message.id) for message in check(configs)]


MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
TABLE = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}
OF_THE_SITE = {**MEMORY, "KEY_FUNCTION": "dbrouting.per_tenant.caches.site_key"}
SHARED = {**MEMORY, "KEY_FUNCTION": "dbrouting.per_tenant.caches.shared_key"}
DJANGOS = "django.contrib.sessions.backends"
OURS = "dbrouting.per_tenant"


def by_name(key: str, prefix: str, version: int) -> str:
    tenant = get_current_tenant()
    return f"{tenant and tenant.id}{key}"


def by_nothing(key: str, prefix: str, version: int) -> str:
    return key


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        (MEMORY, ["dbrouting.E310"]),
        (TABLE, ["dbrouting.E310"]),
        ({**MEMORY, "KEY_FUNCTION": by_nothing}, ["dbrouting.E310"]),
        ({**MEMORY, "KEY_FUNCTION": by_name}, []),
        (OF_THE_SITE, []),
        ({**TABLE, "KEY_FUNCTION": "dbrouting.per_tenant.caches.site_key"}, []),
        (SHARED, []),
    ],
)
def test_a_cache_that_does_not_say_whose_its_keys_are_is_an_error(
    cache: dict[str, Any], expected: list[str], settings: LazySettings
) -> None:
    settings.CACHES = {"default": cache}

    assert ids(checks.check_caches_say_whose_their_keys_are) == expected


class BoundByItself(db.SessionStore):
    @property
    def key_salt(self) -> str:
        tenant = get_current_tenant()
        return f"{tenant and tenant.id}"


@pytest.mark.parametrize(
    ("engine", "cache", "expected"),
    [
        (f"{DJANGOS}.db", OF_THE_SITE, ["dbrouting.E311"]),
        (f"{DJANGOS}.file", OF_THE_SITE, ["dbrouting.E311"]),
        (f"{DJANGOS}.signed_cookies", OF_THE_SITE, ["dbrouting.E311"]),
        (f"{DJANGOS}.cached_db", OF_THE_SITE, ["dbrouting.E311"]),
        (f"{DJANGOS}.cache", MEMORY, ["dbrouting.E311"]),
        (f"{DJANGOS}.cache", SHARED, ["dbrouting.E311"]),
        (f"{DJANGOS}.cache", OF_THE_SITE, []),
        (f"{OURS}.cached_sessions", SHARED, ["dbrouting.E311"]),
        (f"{OURS}.cached_sessions", OF_THE_SITE, []),
        (f"{OURS}.sessions", SHARED, []),
    ],
)
def test_sessions_that_are_good_on_another_site_are_an_error(
    engine: str, cache: dict[str, Any], expected: list[str], settings: LazySettings
) -> None:
    settings.SESSION_ENGINE = engine
    settings.CACHES = {"default": cache}

    assert ids(checks.check_sessions_are_the_sites_own) == expected


def test_a_session_store_may_be_bound_by_its_own_means() -> None:
    assert checks.is_signed_for_the_site(BoundByItself)


class Elsewhere(SiteStorage):
    pass


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (FileSystemStorage, ["dbrouting.W305"]),
        (SiteStorage, []),
        (Elsewhere, []),
    ],
)
def test_uploads_of_all_sites_in_one_folder_are_a_warning(
    storage: type[FileSystemStorage], expected: list[str], settings: LazySettings
) -> None:
    path = f"{storage.__module__}.{storage.__qualname__}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": path}}

    assert ids(checks.check_uploads_are_the_sites_own) == expected


# Transactions


def test_a_transaction_of_the_shared_database_for_each_request_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    [error] = checks.check_atomic_requests(None)

    assert error.id == "dbrouting.E306"
    assert "DATABASE_URL" in str(error.hint)
    assert "TENANT_ATOMIC_REQUESTS=True" in str(error.hint)


@pytest.mark.parametrize(("value", "expected"), [(False, []), (True, ["dbrouting.E306"])])
def test_a_transaction_of_the_tenants_databases_that_nobody_opens_is_an_error(
    value: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**connections.settings[SAMPLE], "VARIABLE": "TENANT_DATABASE_URL"}
    monkeypatch.setitem(connections.settings, SAMPLE, {**config, "ATOMIC_REQUESTS": value})

    assert ids(checks.check_atomic_requests)[-1:] == expected


async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@transaction.non_atomic_requests
async def exempt(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("asynchronous/", asynchronous), path("exempt/", exempt)]


@pytest.mark.parametrize("name", ["ROOT_URLCONF", "SHARED_URLCONF"])
def test_an_asynchronous_view_that_would_be_refused_is_an_error(name: str, settings: Any) -> None:
    others = {"ROOT_URLCONF", "SHARED_URLCONF"} - {name}
    setattr(settings, name, __name__)
    for other in others:
        setattr(settings, other, "accounts.urls")
    assert ids(checks.check_views_fit_atomic_requests) == []

    settings.TENANT_ATOMIC_REQUESTS = True

    [error] = checks.check_views_fit_atomic_requests(None)
    assert error.id == "dbrouting.E309"
    assert "asynchronous" in error.msg


def test_every_guard_is_on_as_soon_as_django_is() -> None:
    """In a process of its own: these tests import what they test, which is enough to switch it on."""
    ask = "import sys, django; django.setup(); print(*sys.modules)"

    started = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()

    assert {module.__name__ for module in vars(guards).values() if isinstance(module, ModuleType)} <= set(started)
