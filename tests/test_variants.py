"""Each legal combination, baked, passes its own quality gates."""

import os
from pathlib import Path

import pytest
from baking import COMBINATIONS, TEMPLATE, Combination, every_variant, variants
from conftest import Bake, Bootstrapped, DatabasesOf
from processes import manage, run

SUITE = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
# Some of a project's tests, which use the database.
SOME = (*SUITE, "tests/test_testing.py", "tests/test_factories.py")
AS_DEPLOYED = {
    "DJANGO_DEBUG": "False",
    "DJANGO_ALLOWED_HOSTS": ".example.com",
    "TENANT_BASE_DOMAIN": "example.com",
}


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
def test_passes_the_system_checks(bootstrapped: Bootstrapped, combination: Combination) -> None:
    project, databases = bootstrapped(combination)
    manage(project, "check", "--fail-level", "WARNING", "--database", "default", **databases.environment)


@every_variant
def test_passes_the_deployment_checks(bootstrapped: Bootstrapped, combination: Combination) -> None:
    project, databases = bootstrapped(combination)
    manage(project, "check", "--deploy", "--fail-level", "WARNING", **databases.environment, **AS_DEPLOYED)


@every_variant
def test_has_a_migration_for_every_model(bootstrapped: Bootstrapped, combination: Combination) -> None:
    project, databases = bootstrapped(combination)
    manage(project, "makemigrations", "--check", "--dry-run", **databases.environment)


@every_variant
def test_bootstrap_changes_nothing_the_second_time(bootstrapped: Bootstrapped, combination: Combination) -> None:
    project, databases = bootstrapped(combination)
    first = databases.digests()
    assert first, "bootstrap made no database"
    manage(project, "bootstrap", **databases.environment)
    assert databases.digests() == first


@pytest.mark.again
@every_variant
def test_its_suite_passes(baked: Bake, databases: DatabasesOf, combination: Combination) -> None:
    """As it does in test_readme.py, whose other commands take longer and are of no other Python."""
    run(baked(combination), *SUITE, **databases(baked(combination), combination).environment)


@pytest.mark.once
@every_variant
def test_its_suite_runs_in_parallel(baked: Bake, databases: DatabasesOf, combination: Combination) -> None:
    environment = databases(baked(combination), combination).environment
    run(baked(combination), *SOME, "-n2", **environment)


@pytest.mark.once
@variants([combination for combination in COMBINATIONS if combination.topology == "subdomain-tenant"])
def test_its_suite_runs_on_kept_databases(baked: Bake, databases: DatabasesOf, combination: Combination) -> None:
    """The topology that asks most of test databases, on each engine."""
    environment = databases(baked(combination), combination).environment
    for _ in range(2):
        run(baked(combination), *SOME, "--reuse-db", **environment)
