"""What the project's tests share; ``conftest.py`` loads it."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.conf import settings
from django.test import AsyncClient, Client

from dbrouting.aliases import usable_aliases
from dbrouting.database_copies import copied_test_databases
from dbrouting.testing import EveryDatabaseTestCase, close_all_sessions, move_mirrors, shared_mirrors

DATABASE_FIXTURES = frozenset({"db", "transactional_db", "live_server"})  # "admin_client" and the like ask for "db"


def pytest_configure() -> None:
    """The passwords of tests protect nothing: a good hash would take longer than most tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """A bare ``django_db`` mark, or fixture, means every database that can be connected to, not ``default`` alone."""
    mark = item.get_closest_marker("django_db")
    asked = DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    if mark is None and asked:
        mark = pytest.mark.django_db(transaction=asked != {"db"}).mark
    if mark and "databases" not in mark.kwargs:
        item.add_marker(pytest.mark.django_db(*mark.args, databases=usable_aliases(), **mark.kwargs), append=False)


@pytest.fixture(scope="session")
def django_db_setup(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """pytest-django's, which migrates databases of one kind once.

    And which drops none that a mirror, an unlisted alias or a pool is still connected to.
    """
    with copied_test_databases():
        request.getfixturevalue("django_db_setup")
    move_mirrors()
    yield
    with django_db_blocker.unblock():
        close_all_sessions()


@pytest.fixture(autouse=True)
def _mirrors_see_the_open_transaction(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
    with nullcontext() if isinstance(request.instance, EveryDatabaseTestCase) else shared_mirrors():
        yield


@pytest.fixture
def every_database() -> None:
    """For a test that queries every database itself, whatever the code that it tests may do."""


@pytest.fixture
def site_client() -> Client:
    """A browser on the site."""
    return Client()


@pytest.fixture
def async_site_client() -> AsyncClient:
    """The same, for asynchronous views."""
    return AsyncClient()
