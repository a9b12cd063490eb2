"""The example of Django's documentation works: ``default`` empty, the primary called ``primary``, users apart."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from other_settings import dropped_afterwards, environment_of, fresh_url, run_python

Run = Callable[..., str]

READ_AND_WRITE = """
from catalogue.models import Product
from accounts.models import User
from dbrouting.pinning import unit_of_work
from dbrouting.sql import cursor_for
product = Product.objects.first()
print(product._state.db in {"replica1", "replica2"})
product.stock = 77
product.save()
print(product._state.db, Product.objects.get(pk=product.pk).stock)
with unit_of_work():
    print(Product.objects.get(pk=product.pk)._state.db in {"replica1", "replica2"}, User.objects.first()._state.db)
print(cursor_for(Product).db.alias)
"""


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of databases that aren't there yet. The replicas are the primary: the example is one of settings."""
    folder = tmp_path_factory.mktemp("published_example")
    primary, auth = fresh_url("default", "main", folder), fresh_url("default", "auth", folder)
    replicas = {"REPLICA1_URL": primary, "REPLICA2_URL": primary}
    return {"DATABASE_URL": primary, "AUTH_DATABASE_URL": auth, **replicas}


@pytest.fixture(scope="module")
def primary(urls: dict[str, str], django_db_blocker: Any) -> Iterator[BaseDatabaseWrapper]:
    with django_db_blocker.unblock(), dropped_afterwards(urls["DATABASE_URL"]) as connection:
        yield connection


@pytest.fixture(scope="module")
def auth_db(urls: dict[str, str], django_db_blocker: Any) -> Iterator[BaseDatabaseWrapper]:
    with django_db_blocker.unblock(), dropped_afterwards(urls["AUTH_DATABASE_URL"]) as connection:
        yield connection


@pytest.fixture(scope="module")
def run(urls: dict[str, str], primary: BaseDatabaseWrapper, auth_db: BaseDatabaseWrapper) -> Run:
    """Run a Python command in the project, with the example's settings."""
    return partial(run_python, environment_of("published_example", urls))


@pytest.fixture(scope="module")
def bootstrapped(run: Run) -> str:
    """What ``bootstrap`` printed when it made and filled the databases."""
    return run("manage.py", "bootstrap")


@pytest.mark.usefixtures("bootstrapped")
def test_the_checks_pass(run: Run) -> None:
    run("manage.py", "check", "--fail-level=WARNING")


def test_each_database_gets_its_own_tables_and_the_replicas_none(
    bootstrapped: str, primary: BaseDatabaseWrapper, auth_db: BaseDatabaseWrapper
) -> None:
    assert "Database auth_db (" in bootstrapped
    assert "Database primary (" in bootstrapped
    assert "Database replica1" not in bootstrapped
    on_primary, on_auth_db = (set(database.introspection.table_names()) for database in (primary, auth_db))
    assert {"accounts_user", "django_session"} <= on_auth_db
    assert {"catalogue_product", "orders_order"} <= on_primary
    assert "orders_order" not in on_auth_db
    assert "accounts_user" not in on_primary


@pytest.mark.usefixtures("bootstrapped")
def test_reads_and_writes_go_where_they_should(run: Run) -> None:
    lines = run("manage.py", "shell", "--verbosity=0", "--command", READ_AND_WRITE).split("\n")

    assert lines[:4] == ["True", "primary 77", "True auth_db", "primary"]


def test_the_suite_passes(run: Run) -> None:
    """With the shipped plugin, which leaves the empty alias out: it has no transactions to roll back."""
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_pages.py", "tests/test_testing.py")

    assert " passed" in output
