"""Test databases for aliases that are only read; ``conftest.py`` loads it after the other plugin."""

from collections.abc import Iterator
from typing import Any

import pytest

from dbrouting.adopted_tables import empty_adopted_tables, make_adopted_tables, open_for_tests


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    open_for_tests()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make_adopted_tables()


@pytest.fixture(autouse=True)
def _adopted_tables_are_emptied(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    mark = request.node.get_closest_marker("django_db")
    yield
    if mark and mark.kwargs.get("transaction"):
        with django_db_blocker.unblock():
            empty_adopted_tables()
