"""A task of a worker is a unit of its own, and reads a replica only if its row, which was written last, is there.

The library is not installed: any row stands for a task's.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, models, router

from catalogue.factories import CategoryFactory
from catalogue.models import Category, Product
from dbrouting import replicas, replication, tasks
from dbrouting.consistency import Position
from dbrouting.overrides import current_override, in_database
from dbrouting.pinning import UnitOfWork, current_unit, unit_of_work
from dbrouting.replicas import is_replica

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(db: None) -> Category:
    """One that every replica has, and the test hasn't written."""
    with unit_of_work():
        return CategoryFactory.create(slug="a-task")


def run(task: Callable[[], Any], row: models.Model | None, attempts: int = 1) -> Any:
    """What a worker does, which catches whatever a task raises."""
    result = SimpleNamespace(id=uuid4().hex, attempts=attempts, **({"db_result": row} if row else {}))
    tasks.begin(object, result)
    try:
        return task()
    finally:
        tasks.end(object, result)


def source() -> str:
    return router.db_for_read(Product)


def test_a_task_whose_row_has_arrived_reads_the_replica(product: Product, stale_replica: str) -> None:
    assert run(source, row=product) == stale_replica


@pytest.mark.usefixtures("stale_replica")
def test_a_task_whose_row_has_not_arrived_reads_the_primary(product: Product) -> None:
    with unit_of_work():
        row = CategoryFactory.create()

    assert run(source, row) == "default"


def test_a_task_that_is_tried_again_sees_what_was_mended_before(row: Category) -> None:
    assert is_replica(run(source, row))
    assert run(source, row, attempts=2) == "default"


def test_a_task_writes_for_itself_alone(row: Category, unit: UnitOfWork) -> None:
    def write() -> str:
        CategoryFactory.create()
        return source()

    assert run(write, row) == "default"
    assert is_replica(run(source, row))
    assert not unit.pinned


def test_a_task_is_not_pinned_by_what_the_worker_wrote(row: Category, unit: UnitOfWork) -> None:
    unit.note_write()

    assert is_replica(run(source, row))
    assert current_unit() is unit


def test_a_task_that_fails_leaves_nothing_behind(row: Category, unit: UnitOfWork) -> None:
    def fail() -> None:
        Category.objects.create(name="Coffee", slug="coffee")
        unit_of_work().__enter__()
        in_database("default").__enter__()
        raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"):
        run(fail, row)

    assert current_unit() is unit
    assert not unit.pinned
    assert current_override() is None


def test_a_task_that_its_enqueuer_runs_is_part_of_the_enqueuers_unit(unit: UnitOfWork) -> None:
    run(CategoryFactory.create, row=None)

    assert unit.wrote


def test_a_task_inside_another_ends_alone(row: Category) -> None:
    def outer() -> UnitOfWork:
        run(CategoryFactory.create, row=None)
        return current_unit()

    assert run(outer, row).pinned


def test_the_end_of_a_task_that_never_began_is_nothing(unit: UnitOfWork) -> None:
    tasks.end(object, SimpleNamespace(id="unknown"))

    assert current_unit() is unit


def test_a_row_of_another_database_says_nothing_about_the_replica(row: Category) -> None:
    row._state.db = "tasks"

    assert run(source, row) == "default"


def test_a_replica_that_cannot_answer_is_not_read(row: Category, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Category._meta, "db_table", "not_there_yet")

    assert run(source, row) == "default"


def test_a_replica_that_fails_is_left_out_by_the_next_tasks(
    row: Category, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(using: str) -> None:
        raise OperationalError(f"{using} is gone")

    settings.REPLICA_DATABASES = ["replica1"]
    monkeypatch.setattr(replicas, "_left_out", {})
    monkeypatch.setattr(tasks, "atomic", fail)

    assert run(source, row) == "default"
    assert replicas.is_left_out("replica1")


def test_a_task_requires_of_other_servers_what_the_replica_it_asked_had(
    row: Category, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    position = Position("a-cluster", (("", 7),))
    monkeypatch.setattr(replication, "replayed", lambda cursor: position)
    assert run(lambda: current_unit().required, row) == position

    settings.REPLICA_POSITIONS = False
    assert run(lambda: current_unit().required, row) is None


def test_a_worker_whose_tasks_may_be_read_on_a_replica_is_reported(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tasks.check_tasks_are_read_on_the_primary(None) == []
    monkeypatch.setattr(tasks, "PACKAGE", "catalogue")
    assert tasks.check_tasks_are_read_on_the_primary(None) == []

    settings.PRIMARY_ONLY_APPS = set()
    [warning] = tasks.check_tasks_are_read_on_the_primary(None)

    assert warning.id == "dbrouting.W108"
