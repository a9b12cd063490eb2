"""Each legal combination, baked, passes its own quality gates. One worker takes all the tests of a combination."""

import hashlib
import os
from pathlib import Path

import pytest
from baking import COMBINATIONS, SQLITE, TEMPLATE, Combination
from conftest import Bake
from processes import manage, run
from rows import sqlite_files, whole_content

AS_DEPLOYED = {"DJANGO_DEBUG": "False", "DJANGO_ALLOWED_HOSTS": "example.com"}


def together(combinations: list[Combination]) -> pytest.MarkDecorator:
    """Parametrize over combinations so that xdist never splits one between workers."""
    return pytest.mark.parametrize(
        "combination",
        [pytest.param(item, id=str(item), marks=pytest.mark.xdist_group(str(item))) for item in combinations],
    )


every_variant = together(COMBINATIONS)
sqlite_variants = together(SQLITE)


def mypy_cache() -> Path:
    """Django's and the stubs' share of the work is done once for each worker, not once for each variant."""
    return TEMPLATE / ".mypy_cache" / "baked" / os.environ.get("PYTEST_XDIST_WORKER", "main")


@every_variant
def test_is_formatted(baked: Bake, combination: Combination) -> None:
    run(baked(combination), "python", "-m", "ruff", "format", "--check", "--diff", "--no-cache")


@every_variant
def test_is_linted(baked: Bake, combination: Combination) -> None:
    run(baked(combination), "python", "-m", "ruff", "check", "--no-cache")


@every_variant
def test_is_typed(baked: Bake, combination: Combination) -> None:
    run(baked(combination), "python", "-m", "mypy", "--cache-dir", str(mypy_cache()), ".")


@every_variant
def test_passes_the_system_checks(baked: Bake, combination: Combination) -> None:
    """To check models, Django 6.1 asks a MySQL server for its version: without a server, the rest is checked."""
    without_models = [
        f"--tag={tag}" for tag in ("admin", "caches", "commands", "dbrouting", "security", "templates", "urls")
    ]
    tags = without_models if combination.database_engine == "mysql" else []
    manage(baked(combination), "check", "--fail-level", "WARNING", *tags)


@sqlite_variants
def test_passes_the_deployment_checks(baked: Bake, combination: Combination) -> None:
    manage(baked(combination), "check", "--deploy", "--fail-level", "WARNING", **AS_DEPLOYED)


@sqlite_variants
def test_has_a_migration_for_every_model(baked: Bake, combination: Combination) -> None:
    manage(baked(combination), "makemigrations", "--check", "--dry-run")


@sqlite_variants
def test_bootstrap_changes_nothing_the_second_time(baked: Bake, combination: Combination) -> None:
    project = baked(combination)
    manage(project, "bootstrap")
    first = digests(project)
    assert first, "bootstrap made no SQLite file"
    manage(project, "bootstrap")
    assert digests(project) == first


@sqlite_variants
def test_passes_its_own_suite(baked: Bake, combination: Combination) -> None:
    run(baked(combination), "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


@sqlite_variants
def test_its_suite_runs_in_parallel_and_on_kept_databases(baked: Bake, combination: Combination) -> None:
    quick = ("tests/test_testing.py", "tests/test_factories.py")
    run(baked(combination), "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n2", "--reuse-db", *quick)


def digests(project: Path) -> dict[str, str]:
    """What the rows of every SQLite database in the project add up to."""
    return {
        path.relative_to(project).as_posix(): hashlib.sha256(whole_content(path).encode()).hexdigest()
        for path in sqlite_files(project)
    }
