"""What the router remembers, because it is asked in every query, is never out of date."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from catalogue.models import Product
from dbrouting.replicas import primary_alias


def is_read_on_the_primary() -> bool:
    return router.db_for_read(Product) == primary_alias()


@pytest.fixture
def primary(transactional_db: None) -> BaseDatabaseWrapper:
    """A connection that the router has been asked about."""
    primary = connections[primary_alias()]
    primary.ensure_connection()
    assert not is_read_on_the_primary()
    return primary


@pytest.fixture
def replaced(primary: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Another object under the same alias."""
    connections[primary_alias()] = primary.copy()
    yield connections[primary_alias()]
    connections[primary_alias()].close()
    connections[primary_alias()] = primary


@pytest.mark.usefixtures("replaced")
def test_a_transaction_counts_on_a_connection_that_replaced_another() -> None:
    with transaction.atomic(using=primary_alias()):
        assert is_read_on_the_primary()


@pytest.fixture
def connected_again(primary: BaseDatabaseWrapper) -> Iterator[None]:
    """A second connection to the primary, which is not the thread's own."""
    second = primary.copy()
    second.connect()
    yield
    second.close()


@pytest.mark.usefixtures("connected_again")
def test_a_transaction_counts_beside_a_second_connection_to_the_primary() -> None:
    with transaction.atomic(using=primary_alias()):
        assert is_read_on_the_primary()


@pytest.mark.usefixtures("connected_again")
def test_a_transaction_counts_after_an_event_loop_has_run_in_its_thread() -> None:
    """Django gives each task connections of its own, beside those of the thread that the loop runs in."""

    async def ask() -> bool:
        return is_read_on_the_primary()

    with transaction.atomic(using=primary_alias()):
        assert not asyncio.run(ask())
        assert is_read_on_the_primary()


@pytest.mark.usefixtures("primary")
def test_a_transaction_counts_in_its_own_thread_alone() -> None:
    with transaction.atomic(using=primary_alias()), ThreadPoolExecutor(1) as pool:
        assert is_read_on_the_primary()
        assert not pool.submit(is_read_on_the_primary).result()
        assert is_read_on_the_primary()


def test_a_changed_setting_counts_at_once(settings: Any) -> None:
    settings.PRIMARY_ONLY_APPS = {"catalogue"}
    assert is_read_on_the_primary()

    settings.PRIMARY_ALIAS = "archive"
    assert router.db_for_write(Product) == "archive"
