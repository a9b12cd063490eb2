"""Replicas of one database of several: some apps are read there, and the other routers are asked about the others."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache.backends.db import Options
from django.db import router
from django.db.models import Model
from django.test.utils import isolate_apps

from accounts.models import User
from catalogue.models import Category, Product
from dbrouting import replica_checks
from dbrouting.pinning import pin_to_primary
from dbrouting.replicas import is_replica, primary_alias

ELSEWHERE = "elsewhere"
CACHE: Any = SimpleNamespace(_meta=Options("cache"))  # as Django asks the routers about the table of a cache


class OtherRouter:
    """The one behind it, which has an answer for everything."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return ELSEWHERE

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return ELSEWHERE

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        return False

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "accounts" or db == ELSEWHERE


@pytest.fixture(autouse=True)
def _several_databases(settings: Any) -> None:
    settings.REPLICATED_APPS = {"catalogue"}
    settings.DATABASE_ROUTERS = [
        "dbrouting.overrides.OverrideRouter",
        "dbrouting.replica_routers.ReplicatedAppsRouter",
        OtherRouter(),
    ]


def read_in(alias: str, model: type[Model]) -> Any:
    instance = model()
    instance._state.db = alias
    return instance


def test_its_apps_are_read_on_a_replica_and_written_on_the_primary() -> None:
    assert is_replica(router.db_for_read(Product))
    assert router.db_for_write(Product) == primary_alias()


@pytest.mark.parametrize("model", [User, CACHE])
def test_other_apps_are_where_the_next_router_says(model: type[Model]) -> None:
    assert router.db_for_read(model) == router.db_for_write(model) == ELSEWHERE


def test_the_table_of_a_cache_may_be_among_them(settings: Any) -> None:
    settings.REPLICATED_APPS = {"django_cache"}
    settings.PRIMARY_ONLY_APPS = {"django_cache"}

    assert router.db_for_read(CACHE) == router.db_for_write(CACHE) == primary_alias()


def test_after_a_write_its_apps_alone_are_read_on_the_primary() -> None:
    pin_to_primary()

    assert router.db_for_read(Product) == primary_alias()
    assert router.db_for_read(User) == ELSEWHERE


@isolate_apps("orders")
def test_a_proxy_of_another_app_is_where_its_table_is() -> None:
    class Offer(Product):
        class Meta:
            proxy = True
            app_label = "orders"

    assert is_replica(router.db_for_read(Offer))
    assert router.db_for_write(Offer) == primary_alias()


def test_an_object_from_a_replica_is_saved_on_the_primary() -> None:
    assert router.db_for_write(Product, instance=read_in("replica1", Product)) == primary_alias()


def test_an_object_from_a_third_database_is_the_next_routers() -> None:
    archived = read_in("archive", Product)

    assert router.db_for_read(Category, instance=archived) == ELSEWHERE
    assert router.db_for_write(Product, instance=archived) == ELSEWHERE


def test_what_belongs_to_an_object_of_another_app_is_read_at_home() -> None:
    user = read_in(ELSEWHERE, User)

    assert is_replica(router.db_for_read(Product, instance=user))
    assert router.db_for_write(Product, instance=user) == primary_alias()


def test_only_objects_of_its_apps_are_related_without_the_next_router() -> None:
    here, there = read_in("replica1", Product), read_in(primary_alias(), Category)

    assert router.allow_relation(here, there)
    assert not router.allow_relation(here, User())
    assert not router.allow_relation(User(), here)


def test_no_app_has_tables_on_a_replica() -> None:
    assert not router.allow_migrate("replica1", "catalogue")
    assert router.allow_migrate(primary_alias(), "catalogue")
    assert router.allow_migrate(ELSEWHERE, "accounts")


# Checks


def test_the_settings_pass_their_checks() -> None:
    assert replica_checks.check_replicated_apps(None) == []
    assert replica_checks.check_replicated_apps_are_routed(None) == []


@pytest.mark.parametrize(
    ("label", "fault"), [("catalog", "no installed app's label"), ("accounts", "no tables on 'default'")]
)
def test_an_app_that_is_not_on_the_primary_is_reported(settings: Any, label: str, fault: str) -> None:
    settings.REPLICATED_APPS = {"catalogue", label}

    [error] = replica_checks.check_replicated_apps(None)

    assert error.id == "dbrouting.E113"
    assert repr(label) in error.msg
    assert fault in error.msg


def test_a_router_that_is_never_asked_is_reported(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [OtherRouter(), "dbrouting.replica_routers.ReplicatedAppsRouter"]

    assert [error.id for error in replica_checks.check_replicated_apps_are_routed(None)] == ["dbrouting.E114"]
