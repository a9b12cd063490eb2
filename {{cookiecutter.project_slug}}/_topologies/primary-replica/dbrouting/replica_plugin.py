"""What tests need where a database has replicas; ``conftest.py`` loads it after the other plugin."""

from collections.abc import Iterator

import pytest
from django.conf import settings

from dbrouting import health, replicas
from dbrouting.pinning import UnitOfWork, current_unit, unit_of_work


def pytest_configure() -> None:
    """A thread that looks after the replicas would keep test databases open."""
    settings.REPLICA_CHECK_SECONDS = 0


@pytest.fixture(autouse=True)
def unit() -> Iterator[UnitOfWork]:
    """Each test is a unit of work: what one test writes doesn't pin the next."""
    with unit_of_work():
        yield current_unit()


@pytest.fixture(autouse=True)
def _every_replica_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an earlier test did to it."""
    monkeypatch.setattr(replicas, "_left_out", {})
    monkeypatch.setattr(health, "_health", {})
