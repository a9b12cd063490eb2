"""A session is good on the site that began it, and unknown on one that has a copy of its row."""

import logging
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import connections
from django.test import Client

from accounts.factories import UserFactory
from accounts.models import User
from dbrouting.tenant_context import CurrentTenant, NoActiveTenantError, shared_context, tenant_context

pytestmark = pytest.mark.django_db

OURS = ["dbrouting.per_tenant.sessions", "dbrouting.per_tenant.cached_sessions"]
CACHED = ["dbrouting.per_tenant.cached_sessions", "django.contrib.sessions.backends.cache"]


@pytest.fixture(params=OURS)
def engine(request: pytest.FixtureRequest, settings: LazySettings) -> str:
    engine: str = request.param
    settings.SESSION_ENGINE = engine
    caches["default"].clear()
    return engine


def store(engine: str, key: str | None = None) -> SessionBase:
    made: SessionBase = import_module(engine).SessionStore(key)
    return made


def copy_to(tenant: CurrentTenant) -> None:
    """Make ``tenant`` a copy of the active one, as far as log-ins are concerned."""
    rows = [*User.objects.all(), *Session.objects.all()]
    with tenant_context(tenant, switch=True):
        for row in rows:
            row.save(using=tenant.alias, force_insert=True)


def rows_of(tenant: CurrentTenant) -> list[tuple[str, str]]:
    with tenant_context(tenant, switch=True):
        return list(Session.objects.order_by("pk").values_list("session_key", "session_data"))


@pytest.fixture
def browser(site_client: Client, globex: CurrentTenant) -> Client:
    """Logged in at acme's site, of which globex's is a copy."""
    site_client.force_login(UserFactory.create())
    copy_to(globex)
    return site_client


def page_at(host: str, browser: Client) -> int:
    return browser.get("/orders/", headers={"host": host}).status_code


def test_a_cookie_is_anonymous_on_a_copy_of_its_site(engine: str, browser: Client, globex: CurrentTenant) -> None:
    copied = rows_of(globex)

    assert page_at("acme.localhost", browser) == 200
    assert page_at("globex.localhost", browser) == 302
    assert browser.cookies["sessionid"].value == ""
    assert rows_of(globex) == copied


def test_with_djangos_own_sessions_it_would_not_be(settings: LazySettings, globex: CurrentTenant) -> None:
    """The control: the copy above is one that a log-in survives."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    browser = Client(headers={"host": "acme.localhost"})
    browser.force_login(UserFactory.create())
    copy_to(globex)

    assert page_at("globex.localhost", browser) == 200


def test_who_logs_in_on_the_copy_gets_a_session_of_its_own(engine: str, globex: CurrentTenant) -> None:
    """At the second site with the cookie of the first, which browsers send to both if an attacker sees to it."""
    browser = Client(headers={"host": "acme.localhost"})
    user = UserFactory.create(is_staff=True, is_superuser=True)
    user.set_password("sencha")
    user.save()
    browser.force_login(user)
    copy_to(globex)
    [(key, data)] = rows_of(globex)

    form = {"username": user.get_username(), "password": "sencha"}
    answer = browser.post("/admin/login/?next=/admin/", form, headers={"host": "globex.localhost"})

    assert answer.status_code == 302
    assert browser.get("/admin/", headers={"host": "globex.localhost"}).status_code == 200
    assert (key, data) in rows_of(globex)
    assert browser.cookies["sessionid"].value != key


def test_what_is_written_to_a_session_of_another_site_begins_a_new_one(engine: str, globex: CurrentTenant) -> None:
    first = store(engine)
    first["tea"] = "sencha"
    first.save()
    copy_to(globex)
    copied = rows_of(globex)

    with tenant_context(globex, switch=True):
        second = store(engine, first.session_key)
        second["tea"] = "gyokuro"
        second.save()

    assert second.session_key != first.session_key
    assert set(copied) < set(rows_of(globex))
    assert store(engine, first.session_key)["tea"] == "sencha"


def test_sessions_are_kept_apart_asynchronously_too(engine: str, acme: CurrentTenant, globex: CurrentTenant) -> None:
    async def write() -> str | None:
        session = store(engine)
        await session.aset("tea", "sencha")
        await session.asave()
        return session.session_key

    async def read(key: str | None) -> tuple[str | None, str | None]:
        session = store(engine, key)
        return await session.aget("tea"), session.session_key

    key = async_to_sync(write)()
    copy_to(globex)

    assert async_to_sync(read)(key) == ("sencha", key)
    with tenant_context(globex, switch=True):
        assert async_to_sync(read)(key) == (None, None)


def test_a_session_without_data_keeps_its_key(engine: str) -> None:
    """As when a visitor's basket is found by it."""
    session = store(engine)
    session.create()

    again = store(engine, session.session_key)

    assert dict(again.items()) == {}
    assert again.session_key == session.session_key


@pytest.mark.parametrize("engine", CACHED)
def test_sessions_in_a_cache_are_found_on_their_site_only(
    engine: str, settings: LazySettings, globex: CurrentTenant
) -> None:
    caches["default"].clear()
    session = store(engine)
    session["tea"] = "sencha"
    session.save()

    assert store(engine, session.session_key)["tea"] == "sencha"
    with tenant_context(globex, switch=True):
        assert store(engine, session.session_key).get("tea") is None


def test_a_cached_session_costs_no_query(django_assert_num_queries: Any, acme: CurrentTenant) -> None:
    session = store("dbrouting.per_tenant.cached_sessions")
    session["tea"] = "sencha"
    session.save()

    with django_assert_num_queries(0, connection=connections[acme.alias]):
        assert store("dbrouting.per_tenant.cached_sessions", session.session_key)["tea"] == "sencha"


def test_a_row_can_be_read_on_its_site(globex: CurrentTenant) -> None:
    """``get_decoded()`` is how sessions of a user are found, to end them."""
    session = store("dbrouting.per_tenant.sessions")
    session["tea"] = "sencha"
    session.save()
    copy_to(globex)

    assert Session.objects.get().get_decoded() == {"tea": "sencha"}
    with tenant_context(globex, switch=True):
        assert Session.objects.get().get_decoded() == {}


def test_a_replayed_cookie_is_logged(browser: Client, caplog: pytest.LogCaptureFixture, globex: CurrentTenant) -> None:
    with caplog.at_level(logging.WARNING, "django.security.SuspiciousSession"):
        page_at("globex.localhost", browser)

    assert "session of another site" in caplog.text


def test_the_shared_site_has_sessions_of_its_own(engine: str) -> None:
    with shared_context(switch=True):
        session = store(engine)
        session["tea"] = "sencha"
        session.save()
        assert store(engine, session.session_key)["tea"] == "sencha"
    assert store(engine, session.session_key).get("tea") is None


@pytest.mark.no_tenant
def test_without_a_site_there_are_no_sessions(engine: str) -> None:
    with pytest.raises(NoActiveTenantError):
        store(engine).encode({})
    with pytest.raises(NoActiveTenantError):
        store(engine, "k" * 32).get("tea")
