from collections.abc import Iterator

import pytest

from dbrouting.pinning import UnitOfWork, unit_of_work

pytest_plugins = ["dbrouting.pytest_plugin"]


@pytest.fixture(autouse=True)
def unit() -> Iterator[UnitOfWork]:
    """Each test is a unit of work: what one test writes doesn't pin the next."""
    with unit_of_work() as unit:
        yield unit
