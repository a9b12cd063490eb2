"""A tenant's place is made from a blueprint, as ``migrate`` would have made it, and a live one is copied."""

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic, set_rollback

import config.databases
import tenants.migrations
import tenants.places
from accounts.models import User
from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.overrides import in_database
from dbrouting.provisioning import create_database, database_exists, name_of
from tenants.errors import TenantBusyError, TenantError
from tenants.places import blueprints, copy_place, drop_place, fingerprints, make_place, place_exists
from tenants.places.blueprints import beside_tenants
from tenants.places.isolation import kind_of_place
from tenants.places.kinds import Scripted

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

Places = tuple[str, str]
OLD, NEW = "0123456789", "fedcba9876"


def execute(alias: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows that the last of ``statements`` gives."""
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connections[alias].close()
    return list(rows)


def contents_of(alias: str) -> dict[str, Any]:
    """Each table's columns, constraints and rows, as Django sees them; but for the dates of migrations."""
    connection = connections[alias]
    introspection = connection.introspection
    found = {}
    with connection.cursor() as cursor:
        for table in introspection.table_names(cursor):
            columns = introspection.get_table_description(cursor, table)
            names = [connection.ops.quote_name(column.name) for column in columns if column.name != "applied"]
            constraints = introspection.get_constraints(cursor, table)
            cursor.execute(f"SELECT {', '.join(names)} FROM {connection.ops.quote_name(table)}")
            found[table] = (columns, constraints, sorted(map(str, cursor.fetchall())))
    connection.close()
    return found


@pytest.fixture
def migrations(places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two statements in the place of this project's migrations, which take longer."""
    statements = [
        "CREATE TABLE note (id integer PRIMARY KEY, text varchar(20))",
        "INSERT INTO note VALUES (1, 'first')",
    ]

    def run(connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    monkeypatch.setattr(blueprints, "run_migrations", run)
    monkeypatch.setattr(blueprints, "fingerprint", lambda: OLD)
    monkeypatch.setattr(Scripted, "known", {})
    yield statements
    kind_of_place().remove_outdated(connections[places[0]], fingerprints.fingerprint())


@pytest.fixture
def migrated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The aliases that are migrated instead of copied."""
    aliases: list[str] = []
    monkeypatch.setattr(tenants.places, "call_command", lambda command, database, **options: aliases.append(database))
    return aliases


def stop(connection: BaseDatabaseWrapper) -> None:
    raise KeyboardInterrupt


def has_blueprint(fingerprint: str) -> bool:
    return kind_of_place().has_blueprint(connections["tenant_initech"], fingerprint)


def next_number(alias: str) -> int:
    """Of a table that has rows from the beginning."""
    with in_database(alias, write=True), atomic(using=alias):
        number: int = ContentType.objects.create(app_label="x", model="x").pk
        set_rollback(True, using=alias)
    connections[alias].close()
    return number


def is_clean() -> bool:
    """Whether nothing is left of making a blueprint."""
    left = []
    for name in ("building", "checking"):
        with beside_tenants(name) as connection:
            left.append(database_exists(connection))
    return not any(left)


# With the real migrations, which take long: their blueprint is made once


def test_a_new_place_is_what_migrate_would_leave(places: Places) -> None:
    copied, migrated = places
    make_place(copied)
    create_database(connections[migrated])
    call_command("migrate", database=migrated, verbosity=0)

    contents = contents_of(copied)
    assert contents == contents_of(migrated)
    assert "django_migrations" in contents
    assert next_number(copied) == next_number(migrated)
    assert is_clean()


@pytest.fixture
def shop(places: Places) -> str:
    """The alias of a shop that works, with a product, a user and a visitor who is logged in."""
    alias = places[0]
    make_place(alias)
    with in_database(alias, write=True):
        ProductFactory.create(slug="sencha")
        User.objects.create(username="ada").groups.create(name="staff")
        Session.objects.create(session_key="ada", expire_date=datetime.now(UTC) + timedelta(days=1))
    return alias


def test_a_copy_has_all_rows_but_the_sessions(shop: str, places: Places) -> None:
    copy_place(shop, places[1])

    original, copy = contents_of(shop), contents_of(places[1])
    assert len(original.pop("django_session")[2]) == 1
    assert len(copy.pop("django_session")[2]) == 0
    assert copy == original
    assert next_number(shop) == next_number(places[1])


def test_constraints_hold_in_a_copy(shop: str, places: Places) -> None:
    copy_place(shop, places[1])

    with in_database(places[1], write=True):
        product = Product.objects.get(slug="sencha")
        with pytest.raises(IntegrityError):
            Product.objects.create(slug="sencha", category=product.category, price=1)
        with pytest.raises(IntegrityError), atomic(using=places[1]):
            Product.objects.filter(pk=product.pk).update(category_id=12345)


def test_an_original_without_the_newest_migrations_is_not_copied(shop: str, places: Places) -> None:
    execute(shop, "DELETE FROM django_migrations WHERE app = 'orders'")

    with pytest.raises(TenantError, match="migrate_tenants --tenant initech"):
        copy_place(*places)

    assert not place_exists(places[1])


# Blueprints


@pytest.mark.usefixtures("migrations")
def test_the_second_place_needs_no_migration(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    make_place(places[0])
    monkeypatch.setattr(blueprints, "run_migrations", stop)
    make_place(places[1])

    assert execute(places[1], "SELECT id, text FROM note") == [(1, "first")]


def test_other_migrations_have_another_blueprint_and_the_old_one_is_removed(
    places: Places, migrations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_place(places[0])
    monkeypatch.setattr(blueprints, "fingerprint", lambda: NEW)
    migrations.append("CREATE TABLE more (id integer PRIMARY KEY)")
    make_place(places[1])

    assert execute(places[1], "SELECT COUNT(*) FROM more") == [(0,)]
    assert [has_blueprint(fingerprint) for fingerprint in (OLD, NEW)] == [False, True]


@pytest.mark.parametrize("run", [1, 2])
def test_a_build_that_is_stopped_leaves_no_blueprint(
    places: Places, migrations: list[str], monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    runs = iter(range(1, 3))
    whole = blueprints.run_migrations
    with monkeypatch.context() as patch:
        patch.setattr(blueprints, "run_migrations", lambda one: stop(one) if next(runs) == run else whole(one))
        with pytest.raises(KeyboardInterrupt):
            make_place(places[0])
    assert not has_blueprint(OLD)
    assert is_clean()

    make_place(places[1])

    assert execute(places[1], "SELECT COUNT(*) FROM note") == [(1,)]


@pytest.mark.usefixtures("migrations")
def test_what_a_killed_build_left_is_neither_used_nor_in_the_way(places: Places) -> None:
    for name in ("building", "checking"):
        with beside_tenants(name) as connection:
            create_database(connection)
            execute(connection.alias, "CREATE TABLE half (id integer PRIMARY KEY)")
    make_place(places[0])

    assert execute(places[0], "SELECT COUNT(*) FROM note") == [(1,)]
    with pytest.raises(DatabaseError):
        execute(places[0], "SELECT * FROM half")
    assert is_clean()


@pytest.mark.parametrize("differs", ["INSERT INTO note VALUES (2, '{}')", "CREATE TABLE note_{} (id integer)"])
def test_what_differs_from_tenant_to_tenant_is_never_copied(
    places: Places,
    migrations: list[str],
    migrated: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    differs: str,
) -> None:
    """A secret that a data migration draws, for instance; it is said once, and not tried again."""
    whole = blueprints.run_migrations

    def run(connection: BaseDatabaseWrapper) -> None:
        migrations[2:] = [differs.format(secrets.token_hex(4))]
        whole(connection)

    monkeypatch.setattr(blueprints, "run_migrations", run)
    make_place(places[0])
    monkeypatch.setattr(blueprints, "run_migrations", stop)
    make_place(places[1])

    assert migrated == list(places)
    assert [record.levelname for record in caplog.records if "migrated one by one" in record.message] == ["WARNING"]
    assert not has_blueprint(OLD)
    assert is_clean()


def test_a_tenant_with_a_data_migration_of_its_own_is_migrated(
    places: Places, migrated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "patterns", lambda: [("tenant_*",), ("tenant_initech",)])
    monkeypatch.setattr(blueprints, "run_migrations", stop)
    make_place("tenant_initech")

    assert migrated == ["tenant_initech"]


def test_a_failing_migration_fails_and_is_not_remembered(places: Places, migrations: list[str]) -> None:
    migrations.append("SELECT * FROM nowhere")
    with pytest.raises(DatabaseError, match="nowhere"):
        make_place(places[0])

    migrations.pop()
    make_place(places[1])
    assert has_blueprint(OLD)


@pytest.mark.usefixtures("migrations")
def test_who_finds_another_at_work_waits_and_uses_what_it_made(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is done when this one has asked for the lock for the second time."""
    asked: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(blueprints, "tenant_lock", lambda alias: nullcontext())
        others = blueprints.build

        def lock(alias: str) -> AbstractContextManager[None]:
            asked.append(alias)
            if len(asked) < 2:
                raise TenantBusyError
            patch.setattr(blueprints, "tenant_lock", lambda alias: nullcontext())
            others(connections[places[1]], kind_of_place())
            patch.setattr(blueprints, "run_migrations", stop)
            return nullcontext()

        patch.setattr(blueprints, "tenant_lock", lock)
        make_place(places[0])

    assert len(asked) == 2
    assert execute(places[0], "SELECT COUNT(*) FROM note") == [(1,)]


@pytest.mark.usefixtures("migrations")
def test_who_has_waited_long_enough_migrates(
    places: Places, migrated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock(alias: str) -> AbstractContextManager[None]:
        raise TenantBusyError

    monkeypatch.setattr(blueprints, "tenant_lock", lock)
    monkeypatch.setattr(blueprints, "PATIENCE", 0)
    make_place(places[0])

    assert migrated == [places[0]]


def test_names_fit_the_server_behind_the_longest_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", "x" * 42)

    for name in ("building", "checking", f"template_{OLD}"):
        with beside_tenants(name) as connection:
            assert len(Path(name_of(connection)).name.partition(".")[0]) <= 63


def test_the_fingerprint_is_of_every_migration_and_of_what_follows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(fingerprints.parts())
    monkeypatch.setattr(User._meta, "permissions", [("fly", "Can fly")])

    after = list(fingerprints.parts())

    assert any(b"0001_initial" in part for part in before)
    assert any(Path(tenants.migrations.__path__[0], "0001_initial.py").read_bytes() == part for part in before)
    assert before != after


# The end


@pytest.mark.usefixtures("migrations")
def test_a_place_is_dropped_and_may_be_dropped_again(places: Places) -> None:
    make_place(places[0])
    for _ in range(2):
        drop_place(places[0])
        assert not place_exists(places[0])


@pytest.mark.usefixtures("migrations")
def test_a_place_where_somebody_is_at_work_is_dropped(places: Places) -> None:
    make_place(places[0])
    other = connections[places[0]].copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT * FROM note")
        drop_place(places[0])
        assert not place_exists(places[0])
    with suppress(DatabaseError):
        other.close()
