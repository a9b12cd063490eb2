"""The tasks of a worker, with ``django-tasks-db``: each is a unit of work, and sees what its enqueuer had written.

The position that travels with a task is its own row. It was written to the primary after all that the enqueuer had
written, or in the same transaction, and replicas show transactions in the primary's order: one that has the row has
all of that. So it also holds for a task enqueued in a transaction, whose position nobody knows before its commit, and
on engines that tell no positions.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register
from django.db import Error, connections
from django.db.models import Model
from django.db.transaction import atomic

from dbrouting import health, replication
from dbrouting.blocks import everything_ended
from dbrouting.checks import TAG
from dbrouting.consistency import UNKNOWN, Position
from dbrouting.pinning import UnitOfWork, current_unit, unit_of_work
from dbrouting.replicas import primary_alias

PACKAGE = "django_tasks_db"
LABEL = "django_tasks_database"

# What ends each task that is running, by its id.
_running: dict[str, ExitStack] = {}


def begin(sender: object, task_result: Any, **kwargs: object) -> None:
    """Answers ``task_started``. A task without a row is run by its enqueuer on the spot, and part of that unit."""
    if row := getattr(task_result, "db_result", None):
        stack = _running[task_result.id] = ExitStack()
        stack.enter_context(unit_of_work())
        stack.enter_context(everything_ended())  # a block that the task leaves open is not the next one's
        unit = current_unit()
        # Who puts a task back into the queue has mended something, perhaps, long after its row was written.
        unit.pinned = task_result.attempts > 1 or not has_arrived(row, unit)


def end(sender: object, task_result: Any, **kwargs: object) -> None:
    """Answers ``task_finished``, which is also sent for a task that never started."""
    if stack := _running.pop(task_result.id, None):
        stack.close()


def has_arrived(row: Model, unit: UnitOfWork) -> bool:
    """Whether the unit's replica has all that was on the primary when ``row`` was written.

    If so, the unit requires no less of other servers that the alias may lead to. A server in trouble has nothing.
    """
    if row._state.db != primary_alias():  # a database of its own, which knows nothing of the primary's commits
        return False
    alias = unit.replica
    try:
        with atomic(using=alias):  # both questions to one server
            found = type(row)._base_manager.using(alias).filter(pk=row.pk).exists()
            unit.required = position_of(alias)
    except Error as error:
        if replication.is_failure(error):
            health.note_failure(alias, error)
        return False
    return found


def position_of(alias: str) -> Position | None:
    if not settings.REPLICA_POSITIONS:
        return None
    with connections[alias].cursor() as cursor:
        position = replication.replayed(cursor)
    return None if position == UNKNOWN else position


@register(TAG)
def check_tasks_are_read_on_the_primary(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The worker begins a transaction where it would read, and locks its next task where it would write."""
    if not apps.is_installed(PACKAGE) or LABEL in settings.PRIMARY_ONLY_APPS:
        return []
    return [
        checks.Warning(
            f"{LABEL} is not in PRIMARY_ONLY_APPS: db_worker would look for tasks on a replica, and end with an error.",
            hint=f'Add "{LABEL}" to PRIMARY_ONLY_APPS in config/databases.py.',
            id="dbrouting.W108",
        )
    ]


if apps.is_installed(PACKAGE):
    signals = import_module(f"{PACKAGE}.compat")  # Django's, or the backport's
    signals.task_started.connect(begin)
    signals.task_finished.connect(end)
