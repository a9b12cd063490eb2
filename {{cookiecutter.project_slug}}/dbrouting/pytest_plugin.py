"""What the project's tests share; ``conftest.py`` loads it."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from django.db import connections
from django.test import AsyncClient, Client

from dbrouting.aliases import usable_aliases
from dbrouting.mapping import close_old_unlisted_connections
from dbrouting.testing import EveryDatabaseTestCase, shared_mirrors

DATABASE_FIXTURES = frozenset({"db", "transactional_db", "live_server"})  # "admin_client" and the like ask for "db"


def pytest_itemcollected(item: pytest.Item) -> None:
    """A bare ``django_db`` mark, or fixture, means every database that can be connected to, not ``default`` alone."""
    mark = item.get_closest_marker("django_db")
    asked = DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    if mark is None and asked:
        mark = pytest.mark.django_db(transaction=asked != {"db"}).mark
    if mark and "databases" not in mark.kwargs:
        item.add_marker(pytest.mark.django_db(*mark.args, databases=usable_aliases(), **mark.kwargs), append=False)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Django drops a test database once its own alias has let go of it, while others may be connected, or pools."""
    yield
    close_old_unlisted_connections()
    for connection in connections.all(initialized_only=True):
        if hasattr(connection, "close_pool"):
            connection.close()
            connection.close_pool()


@pytest.fixture(autouse=True)
def _mirrors_see_the_open_transaction(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
    with nullcontext() if isinstance(request.instance, EveryDatabaseTestCase) else shared_mirrors():
        yield


@pytest.fixture
def site_client() -> Client:
    """A browser on the site."""
    return Client()


@pytest.fixture
def async_site_client() -> AsyncClient:
    """The same, for asynchronous views."""
    return AsyncClient()
