"""What would mix tenants, or leave one without tables, is an error before anything runs."""

import runpy
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.conf import LazySettings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps

from dbrouting import topology_checks
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


def test_the_middleware_is_first(settings: LazySettings) -> None:
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    assert ids(topology_checks.check_middleware_is_first) == ["dbrouting.E302"]
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], topology_checks.MIDDLEWARE]
    assert ids(topology_checks.check_middleware_is_first) == ["dbrouting.E302"]


def test_a_misspelt_app_is_an_error(settings: LazySettings) -> None:
    settings.SHARED_APPS = ["tenants", "refrence"]
    assert ids(topology_checks.check_app_labels) == ["dbrouting.E303"]


def test_users_and_what_refers_to_them_are_on_every_site(settings: LazySettings) -> None:
    settings.EVERY_SITE_APPS = ["accounts", "admin", "auth"]
    assert ids(topology_checks.check_users_are_on_every_site) == ["dbrouting.E304", "dbrouting.E304"]


def test_a_relation_to_a_shared_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with isolate_apps("orders"):

        class Invoice(models.Model):  # noqa: DJ008  it is never shown
            currency = models.ForeignKey(Currency, on_delete=models.PROTECT)

            class Meta:
                app_label = "orders"

    monkeypatch.setattr(apps, "get_models", lambda: [Invoice])

    [error] = topology_checks.check_relations_stay_in_one_database(None)

    assert error.id == "dbrouting.E305"
    assert "orders.Invoice.currency" in error.msg


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
