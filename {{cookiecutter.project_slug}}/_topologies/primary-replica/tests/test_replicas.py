"""Replicas: which there are, how often each is read, and that nobody writes to one."""

import os
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, router, transaction

from catalogue.models import Category, Product
from config import engine
from config.env import from_url
from config.replicas import replica
from dbrouting import replica_checks, topology_checks
from dbrouting.pinning import ReplicaWriteError, UnitOfWork, pin_on_write, refuse_write, unit_of_work, watch_writes
from dbrouting.replicas import choose_replica

PICKS = 10_000


@pytest.mark.parametrize(
    "weights", [{"a": 1, "b": 1}, {"a": 3, "b": 1}, {"a": 5, "b": 3, "c": 2}, ["a", "b", "c"]], ids=str
)
def test_each_replica_is_read_as_often_as_its_weight_says(settings: Any, weights: Any) -> None:
    settings.REPLICA_DATABASES = weights
    shares = weights if isinstance(weights, dict) else dict.fromkeys(weights, 1)
    random.seed(20)

    picks = Counter(choose_replica() for _ in range(PICKS))

    for alias, weight in shares.items():
        assert picks[alias] == pytest.approx(PICKS * weight / sum(shares.values()), rel=0.05)


def test_without_replicas_the_primary_is_read(settings: Any) -> None:
    settings.REPLICA_DATABASES = {}
    with unit_of_work():
        assert router.db_for_read(Product) == "default"


# REPLICA_URLS


def url(query: str = "") -> str:
    return engine.EXAMPLE_URL + query


def test_a_url_may_say_the_weight() -> None:
    config, weight = replica("replica1", url("?weight=3"), "default")

    assert weight == 3
    assert "weight" not in config["OPTIONS"]
    assert replica("replica1", url(), "default")[1] == 1


@pytest.mark.parametrize("weight", ["0", "-1", "2.5", "heavy"])
def test_a_wrong_weight_is_named(weight: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"entry 2 of REPLICA_URLS.*'replica2'.*weight={weight}"):
        replica("replica2", url(f"?weight={weight}"), "default")


@pytest.mark.parametrize(
    "entry", ["nonsense", "://", "user:secret@h2/shop", "http://u:secret@h2/shop", f"{url()},{url()}"]
)
def test_a_malformed_entry_is_named_without_its_password(entry: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"entry 2 of REPLICA_URLS.*'replica2'.*: it ") as caught:
        replica("replica2", entry, "default")

    assert "secret" not in str(caught.value)
    assert "user:password" not in str(caught.value).removesuffix(engine.EXAMPLE_URL)


def test_a_malformed_entry_is_told_by_its_host() -> None:
    scheme = engine.EXAMPLE_URL.partition("://")[0]
    with pytest.raises(ImproperlyConfigured, match=r"'replica2' on h2\.internal:port, can't be used"):
        replica("replica2", f"{scheme}://user:secret@h2.internal:port/shop", "default")


def test_a_replica_is_the_primary_in_tests_and_its_sessions_are_read_only() -> None:
    config, _ = replica("replica1", url(), "default")

    own = {"ENGINE": "dbrouting.replica_backend", "TEST": {"MIRROR": "default"}}
    assert config == {**engine.read_only(from_url("replica1", "entry 1 of REPLICA_URLS", url())), **own}


# Nobody writes to a replica


@pytest.mark.django_db
@pytest.mark.parametrize(
    "write",
    [
        lambda: Category.objects.using("replica1").create(name="Tea", slug="tea"),
        lambda: Category(name="Tea", slug="tea").save(using="replica1"),
        lambda: Category.objects.using("replica1").update(name="Tea"),
        lambda: Category.objects.using("replica1").all()._raw_delete("replica1"),
        lambda: connections["replica1"].cursor().execute("DELETE FROM catalogue_category"),
    ],
)
def test_a_write_to_a_replica_is_refused(write: Any) -> None:
    with pytest.raises(ReplicaWriteError, match=r"(?s)'replica1' is a replica.*\.using\('default'\)"):
        write()


@pytest.mark.django_db
def test_what_only_the_server_can_judge_is_left_to_it() -> None:
    with pytest.raises(DatabaseError), connections["replica1"].cursor() as cursor:
        cursor.execute("CALL nothing_of_that_name()")


def test_a_replica_refuses_before_any_router_was_asked() -> None:
    """In a process that has done nothing but ``django.setup()``."""
    script = (
        "import django; django.setup()\n"
        "from django.db import connections\n"
        "from django.db.backends.signals import connection_created\n"
        "connection_created.send(sender=None, connection=connections['replica1'])\n"
        "print([f.__name__ for f in connections['replica1'].execute_wrappers])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project_settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "['refuse_write']\n", done.stderr


def test_a_connection_is_watched_once_however_often_it_is_opened() -> None:
    for alias, watch in {"default": pin_on_write, "replica1": refuse_write}.items():
        connection = connections[alias].copy()
        watch_writes(connection)
        watch_writes(connection)
        assert connection.execute_wrappers == [watch]


@pytest.mark.django_db(transaction=True)
def test_a_connection_opened_inside_an_execute_wrapper_stays_watched(unit: UnitOfWork) -> None:
    """Django takes the last wrapper away when such a block ends, whoever put it there."""
    connection = connections["default"].copy()
    with connection.execute_wrapper(lambda execute, *args: execute(*args)), connection.cursor() as cursor:
        cursor.execute("SELECT 1")

    assert connection.execute_wrappers == [pin_on_write]
    connection.close()


@pytest.mark.django_db
def test_a_replica_is_not_migrated() -> None:
    with pytest.raises(CommandError, match=r"don't allow any table on 'replica1'.*Run it on: default"):
        call_command("migrate", database="replica1")


def test_tables_are_made_on_the_primary_only() -> None:
    assert router.allow_migrate("default", "orders")
    assert not router.allow_migrate("replica1", "orders")
    assert not router.allow_migrate("archive", "orders")


# Tests


@pytest.mark.django_db
def test_a_replica_shows_the_rows_of_the_tests_transaction(product: Product) -> None:
    for alias in project_settings.REPLICA_DATABASES:
        with transaction.atomic(using=alias):
            assert Product.objects.using(alias).get() == product


@pytest.mark.django_db(transaction=True)
def test_a_replica_shows_what_a_test_has_committed(product: Product) -> None:
    for alias in project_settings.REPLICA_DATABASES:
        assert Product.objects.using(alias).get() == product


@pytest.mark.django_db
def test_closing_a_replica_leaves_the_tests_transaction_open(product: Product) -> None:
    for alias in project_settings.REPLICA_DATABASES:
        connections[alias].close()

    assert Product.objects.using("default").get() == product


# Checks


CACHE_TABLE = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}


@pytest.mark.parametrize(
    ("change", "check", "code"),
    [
        ({"PRIMARY_ALIAS": "master"}, replica_checks.check_primary_exists, "E101"),
        ({"REPLICA_DATABASES": ["replica9"]}, replica_checks.check_replicas, "E102"),
        ({"REPLICA_DATABASES": ["default"]}, replica_checks.check_replicas, "E102"),
        ({"REPLICA_DATABASES": {"replica1": 0}}, replica_checks.check_replicas, "E103"),
        ({"DATABASE_ROUTERS": []}, topology_checks.check_router_is_last, "E104"),
        (
            {"DATABASE_ROUTERS": ["dbrouting.routers.PrimaryReplicaRouter", "dbrouting.overrides.OverrideRouter"]},
            topology_checks.check_router_is_last,
            "E104",
        ),
        ({"MIDDLEWARE": []}, replica_checks.check_middleware_is_first, "E105"),
        (
            {"MIDDLEWARE": ["django.middleware.common.CommonMiddleware", replica_checks.MIDDLEWARE]},
            replica_checks.check_middleware_is_first,
            "W102",
        ),
        (
            {"PRIMARY_ONLY_APPS": {"accounts", "auth", "admin"}},
            replica_checks.check_users_are_read_on_the_primary,
            "E106",
        ),
        ({"PRIMARY_PIN_SECONDS": -1}, replica_checks.check_seconds, "E107"),
        ({"REPLICA_CHECK_SECONDS": float("inf")}, replica_checks.check_seconds, "E107"),
        ({"REPLICA_MAX_LAG_SECONDS": "30"}, replica_checks.check_seconds, "E107"),
        ({"PRIMARY_PIN_COOKIE": "sessionid"}, replica_checks.check_pin_cookie_is_its_own, "E108"),
        ({"DATABASE_ROUTERS": []}, replica_checks.check_replicas_have_no_tables, "E109"),
        ({"PRIMARY_PIN_HEADER": "X Primary Pin"}, replica_checks.check_pin_header, "E112"),
        ({"PRIMARY_PIN_HEADER": "X_PRIMARY_PIN"}, replica_checks.check_pin_header, "E112"),
        (
            {"MIDDLEWARE": [replica_checks.MIDDLEWARE, "django.middleware.cache.UpdateCacheMiddleware"]},
            replica_checks.check_no_page_is_cached_for_all,
            "W103",
        ),
        (
            {"SESSION_SAVE_EVERY_REQUEST": True},
            replica_checks.check_sessions_are_saved_when_they_change,
            "W105",
        ),
        (
            {"CACHES": {"default": CACHE_TABLE}, "PRIMARY_ONLY_APPS": set()},
            replica_checks.check_cache_is_read_on_the_primary,
            "W106",
        ),
    ],
)
def test_a_setting_that_loses_writes_or_reads_old_rows_is_reported(
    settings: Any, change: dict[str, Any], check: Any, code: str
) -> None:
    for name, value in change.items():
        setattr(settings, name, value)

    assert {message.id for message in check(None)} == {f"dbrouting.{code}"}


def test_a_missing_primary_is_reported_as_that_alone(settings: Any) -> None:
    settings.PRIMARY_ALIAS = "master"

    assert topology_checks.check_every_model_has_a_home(None) == []


def test_settings_that_say_what_they_may_are_not_reported(settings: Any) -> None:
    settings.PRIMARY_PIN_SECONDS, settings.REPLICA_MAX_LAG_SECONDS = 0, 0.5
    settings.PRIMARY_PIN_HEADER = "X-Primary-Pin"

    assert replica_checks.check_seconds(None) + replica_checks.check_pin_header(None) == []


def test_what_stands_before_the_middleware_is_named(settings: Any) -> None:
    settings.MIDDLEWARE = ["shop.middleware.Visits", replica_checks.MIDDLEWARE]
    [warning] = replica_checks.check_middleware_is_first(None)

    assert "it comes after shop.middleware.Visits" in warning.msg


def test_a_cache_table_that_is_read_on_the_primary_is_not_reported(settings: Any) -> None:
    settings.CACHES = {"default": CACHE_TABLE}
    settings.PRIMARY_ONLY_APPS = {*settings.PRIMARY_ONLY_APPS, "django_cache"}

    assert replica_checks.check_cache_is_read_on_the_primary(None) == []


def test_sessions_outside_of_the_database_may_be_saved_on_every_request(settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"

    assert replica_checks.check_sessions_are_saved_when_they_change(None) == []


@pytest.mark.parametrize(("alias", "code"), [("replica1", "E111"), ("default", "W104")])
def test_requests_in_a_transaction_are_reported(monkeypatch: pytest.MonkeyPatch, alias: str, code: str) -> None:
    monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    [message] = replica_checks.check_atomic_requests(None)

    assert message.id == f"dbrouting.{code}"
    assert f"'{alias}'" in message.msg


def test_a_relation_to_an_app_that_another_router_has_elsewhere_is_an_error(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LinesElsewhere:
        def allow_migrate(self, db: str, app_label: str, model_name: str = "", **hints: Any) -> bool | None:
            return db == "archive" if model_name == "orderline" else None

    monkeypatch.setitem(connections.settings, "archive", {**connections.settings["default"], "NAME": "archive"})
    settings.DATABASE_ROUTERS = [LinesElsewhere(), *settings.DATABASE_ROUTERS]
    [error] = topology_checks.check_relations_stay_in_one_database(None)

    assert error.id == "dbrouting.E110"
    assert error.msg == "orders.OrderLine.order relates orders, in 'archive', to orders, in 'default'."


def test_a_replica_with_a_test_database_of_its_own_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["replica1"]["TEST"], "MIRROR", None)

    assert [message.id for message in replica_checks.check_replicas_are_mirrors_in_tests(None)] == ["dbrouting.W101"]


def at_addresses(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """The primary and its replicas, as on servers."""
    aliases = ["default", *(f"replica{number}" for number in range(1, len(hosts)))]
    place = {"ENGINE": engine.ENGINE, "PORT": "", "NAME": "shop", "USER": "shop", "PASSWORD": "secret"}
    for alias, host in zip(aliases, hosts, strict=True):
        name, _, wanted = host.partition("?")
        config = {**place, "HOST": name, "OPTIONS": {"target_session_attrs": wanted} if wanted else {}}
        monkeypatch.setitem(connections.settings, alias, {**connections.settings["default"], **config})
    monkeypatch.setattr(project_settings, "REPLICA_DATABASES", aliases[1:])
    monkeypatch.setattr(connections["default"], "vendor", "one with servers")


@pytest.mark.parametrize(
    ("hosts", "debug", "level", "who"),
    [
        (["h1", "h2", "H2"], True, checks.WARNING, "'replica1' and 'replica2'"),
        (["h1", "h2", "h1"], False, checks.WARNING, "'default' and 'replica2'"),
        (["h1", "h1"], True, checks.INFO, "'default' and 'replica1'"),
        (["h1,h2?read-write", "h1,h2?standby", "h1,h2?standby"], True, checks.WARNING, "'replica1' and 'replica2'"),
    ],
)
def test_two_aliases_of_one_server_are_reported(
    monkeypatch: pytest.MonkeyPatch, settings: Any, hosts: list[str], debug: bool, level: int, who: str
) -> None:
    at_addresses(monkeypatch, *hosts)
    settings.DEBUG = debug

    [message] = replica_checks.check_servers_differ(None)

    assert (message.id, message.level) == ("dbrouting.W107", level)
    assert message.msg == f"The aliases {who} lead to one database."
    assert "secret" not in str(message)


@pytest.mark.parametrize("hosts", [["h1", "h2", "h3"], ["h1,h2?read-write", "h1,h2?standby"], ["h1"]])
def test_aliases_of_different_servers_are_not_reported(monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    at_addresses(monkeypatch, *hosts)

    assert replica_checks.check_servers_differ(None) == []


def test_on_sqlite_replicas_share_the_primarys_file() -> None:
    if connections["default"].vendor == "sqlite":
        assert replica_checks.check_servers_differ(None) == []
