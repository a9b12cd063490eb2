"""What would mix tenants, or leave one without tables, is an error before anything runs."""

import runpy
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.conf import LazySettings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router
from django.http import HttpRequest, HttpResponse
from django.test.utils import isolate_apps
from django.urls import path

from accounts.models import User
from dbrouting import topology_checks
from dbrouting.sample_tenant import SAMPLE
from orders.models import Order
from reference.models import Currency


def ids(check: Callable[..., list[CheckMessage]]) -> list[str]:
    configs: list[AppConfig] | None = None
    return [str(message.id) for message in check(configs)]


ROUTERS = [
    "dbrouting.routers.SharedAppsRouter",
    "dbrouting.routers.TenantOverrideRouter",
    "dbrouting.routers.TenantRouter",
]


@pytest.mark.parametrize(
    ("routers", "expected"),
    [
        (ROUTERS, []),
        (ROUTERS[1:], ["dbrouting.E301"]),
        (ROUTERS[:2], ["dbrouting.E301"]),
        ([ROUTERS[1], ROUTERS[0], ROUTERS[2]], ["dbrouting.E301"]),
        ([*ROUTERS, "dbrouting.overrides.OverrideRouter"], ["dbrouting.E301"]),
        (["dbrouting.overrides.OverrideRouter", *ROUTERS], ["dbrouting.E301"]),
        ([ROUTERS[0], "dbrouting.overrides.OverrideRouter", *ROUTERS[1:]], ["dbrouting.E301"]),
        (["dynamic_db_router.DynamicDbRouter", *ROUTERS], ["dbrouting.E301"]),
        (["dbrouting.overrides.StrictOverrideRouter", *ROUTERS], ["dbrouting.E301"]),
        ([ROUTERS[0], "dbrouting.overrides.StrictOverrideRouter", ROUTERS[2]], ["dbrouting.E301"]),
    ],
)
def test_the_routers_are_complete_and_in_order(
    monkeypatch: pytest.MonkeyPatch, routers: list[str], expected: list[str]
) -> None:
    monkeypatch.setattr("django.conf.settings.DATABASE_ROUTERS", routers)

    assert ids(topology_checks.check_routers) == expected


@pytest.mark.parametrize(
    ("middleware", "fault"),
    [
        (["shop.middleware.Visits"], "it is missing"),
        (["shop.middleware.Visits", topology_checks.MIDDLEWARE], "it comes after shop.middleware.Visits"),
    ],
)
def test_a_middleware_that_is_not_first_is_an_error(settings: LazySettings, middleware: list[str], fault: str) -> None:
    settings.MIDDLEWARE = middleware
    [error] = topology_checks.check_middleware_is_first(None)

    assert error.id == "dbrouting.E302"
    assert fault in error.msg


def test_a_misspelt_app_is_an_error(settings: LazySettings) -> None:
    settings.SHARED_APPS = ["tenants", "refrence"]
    assert ids(topology_checks.check_app_labels) == ["dbrouting.E303"]


def test_an_app_is_shared_or_on_every_site(settings: Any) -> None:
    settings.SHARED_APPS = [*settings.SHARED_APPS, "sessions"]

    assert ids(topology_checks.check_app_labels) == ["dbrouting.E308"]


def test_users_and_what_refers_to_them_are_on_every_site(settings: LazySettings) -> None:
    settings.EVERY_SITE_APPS = ["accounts", "admin", "auth"]
    assert ids(topology_checks.check_users_are_on_every_site) == ["dbrouting.E304", "dbrouting.E304"]


def test_the_table_of_a_database_cache_is_listed_like_an_app(settings: LazySettings) -> None:
    settings.SHARED_APPS = [*settings.SHARED_APPS, "django_cache"]
    assert ids(topology_checks.check_app_labels) == []


# Relations


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the one model there is: of this app, with this relation."""

    def only(app_label: str, relation: "models.Field[Any, Any]") -> None:
        with isolate_apps(app_label):
            meta = type("Meta", (), {"app_label": app_label})
            made = type("Made", (models.Model,), {"__module__": __name__, "Meta": meta, "relation": relation})
        monkeypatch.setattr(apps, "get_models", lambda: [made])

    return only


def test_a_relation_to_a_shared_table_is_an_error(only: Callable[..., None]) -> None:
    only("orders", models.ForeignKey(Currency, models.PROTECT, related_name="+"))
    [error] = topology_checks.check_relations_stay_in_one_database(None)

    assert error.id == "dbrouting.E305"
    assert error.msg == (
        "orders.Made.relation relates orders, in the tenants' databases, to reference, in the shared database."
    )


def test_a_relation_of_every_sites_table_to_the_tenants_own_is_an_error(only: Callable[..., None]) -> None:
    only("accounts", models.ForeignKey(Order, models.CASCADE, related_name="+"))
    [error] = topology_checks.check_relations_stay_in_one_database(None)

    assert "in the shared database and the tenants' databases" in error.msg


@pytest.mark.parametrize(
    "relation",
    [models.ForeignKey(User, models.CASCADE, related_name="+"), models.ManyToManyField(User, related_name="+")],
)
def test_a_relation_of_a_row_that_exists_once_to_every_sites_is_a_warning(
    only: Callable[..., None], relation: "models.Field[Any, Any]"
) -> None:
    only("reference", relation)
    [warning] = topology_checks.check_shared_rows_name_no_sites_rows(None)

    assert warning.id == "dbrouting.W301"
    assert "reference.Made.relation" in warning.msg
    assert ids(topology_checks.check_relations_stay_in_one_database) == []


def test_what_the_warning_means() -> None:
    """A shared row is asked for its user on acme's site, and finds whoever has the same id there."""
    assert router.db_for_read(User, instance=Currency()) == "tenant_acme"


@pytest.mark.parametrize(
    "relation",
    [models.ForeignKey(User, models.CASCADE, related_name="+"), models.ManyToManyField(User, related_name="+")],
)
def test_a_tenants_relation_to_the_users_is_mentioned_because_the_shared_site_can_not_delete_them(
    only: Callable[..., None], relation: "models.Field[Any, Any]"
) -> None:
    only("orders", relation)
    [info] = topology_checks.check_shared_site_can_delete(None)

    assert info.id == "dbrouting.I301"
    assert "deleting accounts.User" in info.msg
    assert 'Add "orders" to EVERY_SITE_APPS' in str(info.hint)
    assert ids(topology_checks.check_shared_rows_name_no_sites_rows) == []
    assert ids(topology_checks.check_relations_stay_in_one_database) == []


def test_a_relation_that_does_nothing_keeps_nobody_from_deleting(only: Callable[..., None]) -> None:
    only("orders", models.ForeignKey(User, models.DO_NOTHING, related_name="+"))
    assert ids(topology_checks.check_shared_site_can_delete) == []


# Requests


@pytest.fixture
def tenants_url(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say something in the tenants' own URL."""

    def tenants_url(**said: Any) -> None:
        config = {**connections.settings[SAMPLE], **said, "VARIABLE": "TENANT_DATABASE_URL"}
        monkeypatch.setitem(connections.settings, SAMPLE, config)

    return tenants_url


def test_a_switch_that_the_tenants_url_has_as_text_is_an_error(tenants_url: Callable[..., None]) -> None:
    tenants_url(CONN_HEALTH_CHECKS="false")
    [error] = topology_checks.check_tenants_switches(None)

    assert error.id == "dbrouting.E007"
    assert "TENANT_DATABASE_URL" in str(error.hint)


async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("asynchronous/", asynchronous)]


def test_asynchronous_views_of_the_shared_site_are_looked_at(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SHARED_URLCONF = __name__
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    assert ids(topology_checks.check_shared_site_exists) == ["dbrouting.E008"]


@pytest.mark.parametrize("name", ["TENANT_LOOKUP", "SHARED_URLCONF"])
@pytest.mark.parametrize("value", ["missing.module", ""])
def test_a_setting_that_leads_to_no_code_is_an_error(settings: LazySettings, name: str, value: str) -> None:
    setattr(settings, name, value)
    [error] = topology_checks.check_shared_site_exists(None)

    assert error.id == "dbrouting.E011"
    assert error.msg.startswith(f"{name} is {value!r}")


# Cookies, sessions, hosts


def test_a_session_cookie_for_more_than_one_site_is_an_error(settings: LazySettings) -> None:
    settings.SESSION_COOKIE_DOMAIN = ".localhost"
    assert ids(topology_checks.check_session_cookie_domain) == ["dbrouting.E307"]


def test_a_csrf_cookie_for_more_than_one_site_is_a_warning(settings: LazySettings) -> None:
    settings.CSRF_COOKIE_DOMAIN = ".localhost"
    assert ids(topology_checks.check_csrf_cookie_domain) == ["dbrouting.W302"]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [([], ["dbrouting.W304"]), (["localhost"], ["dbrouting.W304"]), ([".localhost"], []), (["*"], [])],
)
def test_hosts_that_django_would_refuse_are_a_warning(
    settings: LazySettings, hosts: list[str], expected: list[str]
) -> None:
    settings.ALLOWED_HOSTS = hosts

    assert ids(topology_checks.check_hosts_are_allowed) == expected


def test_while_debugging_django_has_hosts_of_its_own(settings: LazySettings) -> None:
    settings.ALLOWED_HOSTS, settings.DEBUG = [], True

    assert ids(topology_checks.check_hosts_are_allowed) == []


# Settings from the environment


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TENANT_DATABASE_PREFIX", "My-Shop"),
        ("TENANT_DATABASE_PREFIX", "x" * 43),
        ("TENANT_DATABASE_PREFIX", "pg"),
        ("TENANT_DATABASE_PREFIX", "pg_shop"),
        ("TENANT_DATABASE_PREFIX", 'a"b'),
        ("DYNAMIC_DB_ROUTES", "shop.example=default"),
        ("DYNAMIC_DB_ROUTES", "shop.example=nowhere"),
        ("DYNAMIC_DB_ROUTES", "shop.example=tenant_Acme"),
        ("DYNAMIC_DB_ROUTES", "https://shop.example=tenant_acme"),
        ("DYNAMIC_DB_ROUTES", "junk"),
        ("DYNAMIC_DB_ROUTES", "shop.example=tenant_acme,junk"),
        ("TENANT_BASE_DOMAIN", ""),
        ("TENANT_BASE_DOMAIN", "https://example.com"),
        ("TENANT_BASE_DOMAIN", "two words"),
        ("TENANT_BASE_DOMAIN", "www.example.com"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ImproperlyConfigured, match=rf"{variable}.*\.env"):
        runpy.run_path("config/databases.py")


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMIC_DB_ROUTES", "Shop.Example.=tenant_acme,old.example=tenant_globex")
    monkeypatch.setenv("TENANT_BASE_DOMAIN", "Example.COM")

    found: dict[str, Any] = runpy.run_path("config/databases.py")

    assert found["DYNAMIC_DB_ROUTES"] == {"shop.example": "tenant_acme", "old.example": "tenant_globex"}
    assert found["TENANT_BASE_DOMAIN"] == "example.com"
    assert not {"host", "alias", "name"} & set(found)  # what settings.py would import with the rest
