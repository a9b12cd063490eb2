"""A replica that fails costs its readers nothing: the primary answers, and others are chosen until it is well again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from catalogue.models import Product
from dbrouting import health, replication
from dbrouting.fallback import ReplicaConnection
from dbrouting.overrides import in_database
from dbrouting.pinning import ReplicaWriteError, is_pinned_to_primary, unit_of_work
from dbrouting.replicas import choose_replica, is_left_out

NOWHERE = {"HOST": "127.0.0.1", "PORT": "1", "NAME": "file:/nowhere/at-all.sqlite3?mode=ro"}


@pytest.fixture
def replica(replica_server: str, settings: Any) -> Iterator[str]:
    """The only one, for a unit that has written nothing."""
    settings.REPLICA_DATABASES = [replica_server]
    with unit_of_work():
        yield replica_server


@pytest.fixture
def dead_replica(replica: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """It can't be connected to."""
    connection = connections[replica]
    BaseDatabaseWrapper.close(connection)  # SQLite's own spares databases in memory
    for key, value in NOWHERE.items():
        if key != "NAME" or connection.vendor == "sqlite":
            monkeypatch.setitem(connection.settings_dict, key, value)
    return replica


@pytest.fixture
def attempts(dead_replica: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often anyone tried."""
    made: list[str] = []
    vendor: Any = next(cls for cls in type(connections[dead_replica]).mro() if cls.__module__.startswith("django."))
    connect = vendor.get_new_connection

    def note(connection: Any, parameters: Any) -> Any:
        made.append(connection.alias)
        return connect(connection, parameters)

    monkeypatch.setattr(vendor, "get_new_connection", note)
    return made


def failing(error: Exception) -> Callable[..., Any]:
    """An execute wrapper, which fails where the server would."""

    def fail(*args: Any) -> Any:
        raise error

    return fail


# A replica that can't be connected to


def test_the_read_that_finds_it_dead_succeeds(dead_replica: str) -> None:
    assert Product.objects.get().slug == "sencha"


def test_its_unit_goes_on_with_the_primary(dead_replica: str) -> None:
    Product.objects.get()

    assert is_pinned_to_primary()
    assert Product.objects.get()._state.db == "default"


def test_the_units_after_it_choose_another(dead_replica: str, settings: Any) -> None:
    Product.objects.get()
    settings.REPLICA_DATABASES = [dead_replica, "default"]

    assert {choose_replica() for _ in range(50)} == {"default"}


def test_nobody_tries_it_during_the_cooldown(dead_replica: str, attempts: list[str]) -> None:
    for _ in range(5):
        with unit_of_work():
            Product.objects.get()
            Product.objects.using(dead_replica).get()

    assert attempts.count(dead_replica) == 1


def test_all_out_means_the_primary(dead_replica: str) -> None:
    Product.objects.get()

    with unit_of_work():
        assert Product.objects.get()._state.db == "default"
        assert not is_pinned_to_primary()


def test_it_comes_back_when_the_cooldown_is_over(
    dead_replica: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.REPLICA_COOLDOWN_SECONDS = 0
    Product.objects.get()
    monkeypatch.undo()
    settings.REPLICA_DATABASES = [dead_replica]

    with unit_of_work():
        assert Product.objects.get()._state.db == dead_replica


def test_who_wants_to_write_to_it_is_refused_and_the_primary_writes_nothing(dead_replica: str) -> None:
    Product.objects.get()
    with pytest.raises(ReplicaWriteError):
        Product.objects.using(dead_replica).update(stock=1)
    with connections[dead_replica].cursor() as cursor:
        with pytest.raises(ReplicaWriteError):
            cursor.executemany("UPDATE catalogue_product SET stock = %s", [(1,), (2,)])
        with pytest.raises(OperationalError, match="can't run restock"):
            cursor.callproc("restock", [1])

    assert Product.objects.using("default").get().stock == 10


def test_who_means_this_server_hears_that_it_is_dead(dead_replica: str) -> None:
    with in_database(dead_replica), pytest.raises(OperationalError):
        Product.objects.get()
    with pytest.raises(OperationalError), transaction.atomic(using=dead_replica):
        Product.objects.using(dead_replica).get()


def test_who_means_this_server_gets_it_also_while_it_is_out(replica: str) -> None:
    """It may be late, and good enough for a report."""
    BaseDatabaseWrapper.close(connections[replica])
    health.note_failure(replica, "it is late")

    with transaction.atomic(using=replica):
        assert Product.objects.using(replica).get().slug == "sencha"


def test_the_version_that_queries_are_compiled_for_is_the_primarys(dead_replica: str) -> None:
    never_connected = connections[dead_replica].copy()

    assert never_connected.get_database_version() == connections["default"].get_database_version()


def test_a_primary_that_takes_no_cursors_on_the_server_gets_none(
    dead_replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer may stand in front of it, and not in front of the replica."""
    primary: Any = connections["default"]
    open_cursor, names = primary._cursor, []

    def note(name: str | None = None) -> CursorWrapper:
        names.append(name)
        return open_cursor(name)  # type: ignore[no-any-return]  # Django's own

    monkeypatch.setattr(primary, "_cursor", note)
    monkeypatch.setitem(primary.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)

    list(Product.objects.iterator())

    assert set(names) == {None}


def test_when_the_primary_is_dead_too_its_own_error_is_raised(
    dead_replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str | None = None) -> CursorWrapper:
        raise OperationalError("the primary is dead, too")

    monkeypatch.setattr(connections["default"], "_cursor", refuse)

    with pytest.raises(OperationalError, match="dead, too"):
        Product.objects.get()


# A replica that fails in a statement


def test_a_statement_that_it_fails_in_is_answered_by_the_primary(replica: str) -> None:
    with connections[replica].execute_wrapper(failing(OperationalError("it has just gone"))):
        found = Product.objects.get(slug="sencha")

    assert found.stock == 10
    assert is_left_out(replica)
    assert is_pinned_to_primary()


def test_raw_sql_too(replica: str) -> None:
    wrapper = failing(OperationalError("it has just gone"))
    with connections[replica].execute_wrapper(wrapper), connections[replica].cursor() as cursor:
        cursor.execute("SELECT stock FROM catalogue_product WHERE slug = %s", ["sencha"])

        assert cursor.fetchone() == (10,)


def test_raw_sql_whose_arguments_have_names(replica: str) -> None:
    with connections[replica].cursor() as cursor:
        cursor.execute(sql="SELECT stock FROM catalogue_product WHERE slug = %s", params=["sencha"])

        assert list(cursor.fetchmany(size=1)) == [(10,)]


def test_not_in_a_transaction_whose_rows_must_agree(replica: str) -> None:
    with (
        pytest.raises(OperationalError),
        transaction.atomic(using=replica),
        connections[replica].execute_wrapper(failing(OperationalError("it has just gone"))),
    ):
        Product.objects.using(replica).get()


def test_a_transaction_on_it_is_read_there_to_its_end(replica: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a client whose writes it hasn't got."""
    with transaction.atomic(using=replica):
        monkeypatch.setattr(ReplicaConnection, "is_fresh", lambda connection: False)
        Product.objects.using(replica).get()

    assert not is_pinned_to_primary()


def test_not_there_either_if_the_cursor_is_older(replica: str) -> None:
    with (
        connections[replica].cursor() as cursor,
        pytest.raises(OperationalError),
        transaction.atomic(using=replica),
        connections[replica].execute_wrapper(failing(OperationalError("it has just gone"))),
    ):
        cursor.execute("SELECT 1")


def test_a_mistake_in_the_statement_is_no_failure_of_the_server(replica: str) -> None:
    with pytest.raises(DatabaseError), connections[replica].cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM catalogue_product")

    assert not is_left_out(replica)


def test_a_column_that_has_not_come_yet_is_read_on_the_primary(replica: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is new, and the migration on its way."""
    monkeypatch.setattr(replication, "lacks_a_name", lambda error: "no such column" in str(error))
    with connections[replica].execute_wrapper(failing(ProgrammingError("no such column"))):
        assert Product.objects.get().slug == "sencha"

    assert not is_left_out(replica)


def test_a_mistake_that_the_driver_finds_is_no_failure_either(replica: str) -> None:
    with (
        pytest.raises(ProgrammingError),
        connections[replica].execute_wrapper(failing(ProgrammingError("one placeholder, two values"))),
    ):
        Product.objects.get()

    assert not is_left_out(replica)


def test_nor_is_a_cursor_that_was_closed(replica: str) -> None:
    cursor = connections[replica].cursor()
    cursor.close()

    with pytest.raises((InterfaceError, ProgrammingError)):
        cursor.execute("SELECT 1")

    assert not is_left_out(replica)


def test_a_connection_is_set_up_on_its_own_server(replica: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a client whose writes it hasn't got: others use the connection after this one."""
    monkeypatch.setattr(ReplicaConnection, "is_fresh", lambda connection: False)
    connection = connections[replica].copy()

    connection.connect()

    BaseDatabaseWrapper.close(connection)  # SQLite's own spares databases in memory
    assert not is_pinned_to_primary()


def test_an_error_that_another_server_would_have_is_not_asked_of_another(
    replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that takes too long, for instance."""
    monkeypatch.setattr(replication, "is_failure", lambda error: False)
    wrapper = failing(OperationalError("it took too long"))

    with connections[replica].execute_wrapper(wrapper), pytest.raises(OperationalError):
        Product.objects.get()

    assert not is_left_out(replica)


@pytest.fixture
def failing_fetches(replica: str, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Numbers of the replica's fetches that fail; put some in."""
    numbers: set[int] = set()
    count = iter(range(1, 100))

    def fetchmany(cursor: CursorWrapper, *size: int) -> Any:
        if cursor.db.alias == replica and next(count) in numbers:
            raise OperationalError("it has just gone")
        return cursor.cursor.fetchmany(*size)

    monkeypatch.setattr(CursorWrapper, "fetchmany", fetchmany, raising=False)
    return numbers


def test_before_a_row_was_handed_out_the_primary_can_take_over(failing_fetches: set[int], replica: str) -> None:
    failing_fetches.add(1)

    assert [product.slug for product in Product.objects.iterator(chunk_size=1)] == ["sencha"]
    assert is_left_out(replica)


def test_afterwards_it_can_not(failing_fetches: set[int]) -> None:
    """Its rows might not go on where those of the replica ended."""
    failing_fetches.add(2)
    rows = Product.objects.iterator(chunk_size=1)

    with pytest.raises(OperationalError):
        list(rows)
