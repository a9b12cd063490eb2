"""For a baked project's suite, run as a user that may change rows and nothing else, on databases that are there.

Only the tests that use databases say anything about that user. Left out are those that by their nature need more: the
ones that commit, because what they leave is removed by TRUNCATE, and each that is refused a statement which is about
tables or databases rather than rows. Whatever else fails, fails.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

COMMITTING = {"transactional_db", "live_server"}
NOT_FOR_ROWS = re.compile(r"\s*(CREATE|ALTER|DROP|TRUNCATE|SELECT setval)\b", re.IGNORECASE)
refused: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from django.db import connections
    from django.db.backends.signals import connection_created

    connection_created.connect(note_refusals)
    for alias in connections:  # Django would make databases that are there `IF NOT EXISTS`, and be refused
        type(connections[alias].creation)._execute_create_test_db = lambda *args, **kwargs: None
    left_out = [item for item in items if uses_databases(item) and needs_more(item)]
    config.stash[LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=[item for item in items if not uses_databases(item) or item in left_out])
    items[:] = [item for item in items if uses_databases(item) and item not in left_out]


LEFT_OUT = pytest.StashKey[int]()


def uses_databases(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or is_test_case(item)


def is_test_case(item: pytest.Item) -> bool:
    from django.test import TransactionTestCase

    return isinstance(getattr(item, "cls", None), type) and issubclass(item.cls, TransactionTestCase)


def needs_more(item: pytest.Item) -> bool:
    from django.test import TestCase

    if is_test_case(item) and not issubclass(item.cls, TestCase):
        return True
    mark = item.get_closest_marker("django_db")
    commits = mark is not None and mark.kwargs.get("transaction")
    return bool(commits or COMMITTING & set(item.fixturenames))


def note_refusals(connection: Any, **kwargs: object) -> None:
    """Beside the project's own wrappers, which outlive a reconnection as this one does."""
    if note_refusal not in connection.execute_wrappers:
        connection.execute_wrappers.append(note_refusal)


def note_refusal(run: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    from django.db import DatabaseError

    try:
        return run(sql, params, many, context)
    except DatabaseError:
        refused.append(sql)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "setup":
        refused.clear()
    if report.failed and refused and NOT_FOR_ROWS.match(refused[-1]):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"may not {refused[-1][:60]}")
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.write_line(f"{config.stash[LEFT_OUT]} left out")
