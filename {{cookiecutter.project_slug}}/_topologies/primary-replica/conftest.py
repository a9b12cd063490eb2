from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from django.db import connections

from catalogue.factories import ProductFactory
from catalogue.models import Product
from config import engine
from dbrouting.mapping import DatabaseMapping
from dbrouting.pinning import UnitOfWork, current_unit, unit_of_work
from dbrouting.replicas import primary_alias

pytest_plugins = ["dbrouting.pytest_plugin"]


@pytest.fixture(autouse=True)
def unit() -> Iterator[UnitOfWork]:
    """Each test is a unit of work: what one test writes doesn't pin the next."""
    with unit_of_work():
        yield current_unit()


@pytest.fixture
def product(db: None) -> Product:
    """Something that the replicas have, too."""
    return ProductFactory.create(slug="sencha", stock=10)


@pytest.fixture
def stale_replica(product: Product, settings: Any, tmp_path: Path) -> Iterator[str]:
    """The only replica: a copy of the primary as it is at this moment, which no later write ever reaches."""
    primary = connections[primary_alias()]
    if primary.vendor != "sqlite":
        pytest.skip("The replica that stopped is a copied file, which SQLite alone can read.")
    path = tmp_path / "stale.sqlite3"
    with closing(connect(path)) as copy:
        copy.executescript("".join(primary.connection.iterdump()))  # a backup would wait for the test's transaction
    config = engine.read_only({**primary.settings_dict, "NAME": str(path)})
    assert isinstance(connections.settings, DatabaseMapping)
    alias = connections.settings.lend(config)
    settings.REPLICA_DATABASES = [alias]
    with unit_of_work():
        yield alias
    connections.settings.give_back(alias)
