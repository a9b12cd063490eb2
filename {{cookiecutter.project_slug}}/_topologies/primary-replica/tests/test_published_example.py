"""The example of Django's documentation works: ``default`` empty, the primary called ``primary``, users apart."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

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


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a Python command in the project, with the example's settings and fresh databases."""
    if "sqlite" not in settings.DATABASES["default"]["ENGINE"]:
        pytest.skip("The example is tried out on files.")
    primary, auth = (f"sqlite:///{tmp_path}/{name}.sqlite3" for name in ("primary", "auth"))
    paths = os.pathsep.join([str(settings.BASE_DIR), str(settings.BASE_DIR / "tests")])
    environment = {
        **os.environ,
        "DATABASE_URL": primary,
        "REPLICA1_URL": primary,
        "REPLICA2_URL": primary,
        "AUTH_DATABASE_URL": auth,
        "DJANGO_DEBUG": "True",
        "DJANGO_SETTINGS_MODULE": "published_example",
        "PYTHONPATH": paths,
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_checks_pass(run: Run) -> None:
    run("manage.py", "check", "--fail-level=WARNING")


def test_each_database_gets_its_own_tables_and_the_replicas_none(run: Run, tmp_path: Path) -> None:
    output = run("manage.py", "bootstrap", "--no-demo")

    assert "Database auth_db (" in output
    assert "Database primary (" in output
    assert "Database replica1" not in output
    assert {"accounts_user", "django_session"} <= tables(tmp_path / "auth.sqlite3")
    assert {"catalogue_product", "orders_order"} <= tables(tmp_path / "primary.sqlite3")
    assert "orders_order" not in tables(tmp_path / "auth.sqlite3")
    assert "accounts_user" not in tables(tmp_path / "primary.sqlite3")


def test_reads_and_writes_go_where_they_should(run: Run) -> None:
    run("manage.py", "bootstrap", "--verbosity=0")

    lines = run("manage.py", "shell", "--verbosity=0", "--command", READ_AND_WRITE).split("\n")

    assert lines[:4] == ["True", "primary 77", "True auth_db", "primary"]


def test_the_suite_passes(run: Run) -> None:
    """With the shipped plugin, which leaves the empty alias out: it has no transactions to roll back."""
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_pages.py", "tests/test_testing.py")

    assert " passed" in output
