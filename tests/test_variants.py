"""Each legal combination, baked, passes its own quality gates; test_readme.py runs its suite, as its README says."""

import os
from pathlib import Path

from baking import TEMPLATE, Combination, every_variant
from conftest import Bake, DatabasesOf
from databases import Databases
from processes import manage, run

PYTEST = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
AS_DEPLOYED = {"DJANGO_DEBUG": "False", "DJANGO_ALLOWED_HOSTS": "example.com"}


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
def test_passes_the_system_checks(baked: Bake, databases: DatabasesOf, combination: Combination) -> None:
    environment = bootstrapped(baked(combination), databases, combination).environment
    manage(baked(combination), "check", "--fail-level", "WARNING", "--database", "default", **environment)


@every_variant
def test_passes_the_deployment_checks(baked: Bake, databases: DatabasesOf, combination: Combination) -> None:
    environment = bootstrapped(baked(combination), databases, combination).environment | AS_DEPLOYED
    manage(baked(combination), "check", "--deploy", "--fail-level", "WARNING", **environment)


@every_variant
def test_has_a_migration_for_every_model(baked: Bake, databases: DatabasesOf, combination: Combination) -> None:
    environment = bootstrapped(baked(combination), databases, combination).environment
    manage(baked(combination), "makemigrations", "--check", "--dry-run", **environment)


@every_variant
def test_bootstrap_changes_nothing_the_second_time(
    baked: Bake, databases: DatabasesOf, combination: Combination
) -> None:
    first = bootstrapped(baked(combination), databases, combination).digests()
    assert first, "bootstrap made no database"
    assert bootstrapped(baked(combination), databases, combination).digests() == first


@every_variant
def test_its_suite_runs_in_parallel_and_on_kept_databases(
    baked: Bake, databases: DatabasesOf, combination: Combination
) -> None:
    environment = databases(baked(combination), combination).environment
    quick = ("tests/test_testing.py", "tests/test_factories.py")
    for kept in ("--create-db", "--reuse-db"):
        run(baked(combination), *PYTEST, "-n2", kept, *quick, **environment)


def bootstrapped(project: Path, databases: DatabasesOf, combination: Combination) -> Databases:
    own = databases(project, combination)
    manage(project, "bootstrap", **own.environment)
    own.catch_up()
    return own
