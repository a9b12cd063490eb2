import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from sqlite3 import connect
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.conf import settings as project_settings
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from hypothesis import settings as hypothesis_settings

from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting import replication
from dbrouting.aliases import lent
from dbrouting.consistency import UNKNOWN
from dbrouting.fallback import ReplicaConnection
from dbrouting.overrides import in_database
from dbrouting.pinning import unit_of_work
from dbrouting.replicas import primary_alias, replica_weights
from dbrouting.testing import ADDRESS

pytest_plugins = ["dbrouting.pytest_plugin", "dbrouting.replica_plugin"]

# As configured: the set-up of the tests turns them into mirrors of the primary.
REPLICAS = {alias: dict(connections.settings[alias]) for alias in replica_weights()}
PATIENCE = 60  # seconds that a replica may be behind

# How long tests/test_model.py searches: the same steps in each run, unless pytest gets --hypothesis-profile=thorough.
hypothesis_settings.register_profile(
    "brief", max_examples=60, stateful_step_count=20, derandomize=True, database=None, report_multiple_bugs=False
)
hypothesis_settings.register_profile("thorough", max_examples=5_000, derandomize=False, database=None)
hypothesis_settings.load_profile("brief")


class RandomReplicaRouter:
    """The obvious one."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return random.choice(list(project_settings.REPLICA_DATABASES))

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return primary_alias()

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        return True


def pytest_configure() -> None:
    if not REPLICAS:
        raise pytest.UsageError(
            "REPLICA_URLS names no replica, and these tests read from one. Put your replicas' URLs in .env; "
            "the primary's own URL will do."
        )


@pytest.fixture
def product(db: None) -> Product:
    """Something that the replicas have, too."""
    return ProductFactory.create(slug="sencha", stock=10)


@pytest.fixture
def replica_servers(transactional_db: None, product: Product, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The replicas: no mirrors, but each on its own server, where what a test commits arrives by replication.

    They begin with what the primary has. On SQLite, which has no replication, they share the primary's database.
    """
    with own_servers(list(REPLICAS), monkeypatch):
        yield list(REPLICAS)


@pytest.fixture
def replica_server(transactional_db: None, product: Product, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same of the first replica alone: no other need be waited for."""
    alias = next(iter(REPLICAS))
    with own_servers([alias], monkeypatch):
        yield alias


@pytest.fixture
def stale_replica(transactional_db: None, product: Product, settings: Any, tmp_path: Path) -> Iterator[str]:
    """The only replica, and one that stopped: it has the primary's rows of this moment, and no later write reaches it.

    A session on the first replica's server that holds a snapshot, so that no server need be late; on SQLite a copy.
    """
    primary = connections[primary_alias()]
    is_file = primary.vendor == "sqlite"
    name = copy_of(primary, tmp_path / "stale.sqlite3") if is_file else primary.settings_dict["NAME"]
    with lent({**next(iter(REPLICAS.values())), "NAME": name, "VARIABLE": "the replica that stopped"}) as alias:
        settings.REPLICA_DATABASES = [alias]
        with unit_of_work(), nullcontext() if is_file else snapshot(alias), position_kept(alias):
            yield alias


@pytest.fixture
def obvious_router(settings: Any) -> None:
    """To show that a test's replicas really are behind."""
    settings.DATABASE_ROUTERS = [RandomReplicaRouter()]
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path not in settings.DATABASE_MIDDLEWARE]


@contextmanager
def own_servers(aliases: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for alias in aliases:
        connections[alias].close()
        for key in ADDRESS:
            monkeypatch.setitem(connections[alias].settings_dict, key, REPLICAS[alias][key])
    wait_until_replayed(*aliases)
    yield
    for alias in aliases:
        connections[alias].close()


def copy_of(primary: BaseDatabaseWrapper, path: Path) -> str:
    with closing(connect(path)) as copy:
        primary.connection.backup(copy)
    return f"{path.as_uri()}?mode=ro"


@contextmanager
def snapshot(alias: str) -> Iterator[None]:
    """Go on seeing in the block what is committed now, whatever this thread's session on ``alias`` is asked.

    A standby of PostgreSQL may have to wait for the block's end, or end the session: after 30 seconds, by default.
    """
    wait_until_replayed(alias)
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT COUNT(*) FROM django_migrations")  # the first read takes the snapshot
        block: Any = connections[alias].atomic_blocks[-1]
        block._from_testcase = True  # as Django marks its own: the code that is tested is in no transaction here
        yield


@contextmanager
def position_kept(alias: str) -> Iterator[None]:
    """Have ``alias`` say that it has replayed what is written now, whatever its server goes on to replay."""
    ask = ReplicaConnection.ask_what_is_replayed
    with connections[primary_alias()].cursor() as cursor:
        here = replication.written(cursor) or UNKNOWN
    with patch.object(
        ReplicaConnection,
        "ask_what_is_replayed",
        lambda connection: here if connection.alias == alias else ask(connection),
    ):
        yield


def wait_until_replayed(*aliases: str) -> None:
    """Until these replicas have what is committed on the primary now. Not while the test holds a snapshot there."""
    mark = uuid4().hex
    with unit_of_work():  # which the mark pins, and not the test
        marks = MigrationRecorder(connections[primary_alias()])
        marks.record_applied("tests", mark)
        try:
            for alias in aliases:
                wait_for_mark(mark, alias)
        finally:
            marks.record_unapplied("tests", mark)


def wait_for_mark(mark: str, alias: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not has_mark(mark, alias):
        if time.monotonic() > deadline:
            pytest.fail(
                f"{alias!r} ({connections[alias].settings_dict['HOST'] or 'this machine'}) has not replayed the "
                f"primary's last write within {PATIENCE} seconds. Does it replicate the primary, new databases "
                "included? Mend REPLICA_URLS in .env; the primary's own URL will do."
            )
        time.sleep(0.02)


def has_mark(mark: str, alias: str) -> bool:
    try:
        with in_database(alias):  # and no other: the primary has it
            return MigrationRecorder(connections[alias]).migration_qs.filter(name=mark).exists()
    except DatabaseError:  # the test's database itself is yet to come, or one of that name yet to go
        connections[alias].close()
        return False
