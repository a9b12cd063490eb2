"""Django's own tests pass in a baked project: what we replace changes nothing for who doesn't use it, and our routers
agree with Django's where Django's tests define what a router has to do.

They come from the source distribution of the very Django that runs here, downloaded once into ``.cache``.
"""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import django
import pytest
from baking import SKELETON, TEMPLATE, Combination
from conftest import SERVER_FIXTURES, Bake
from processes import environment, run, tool

SETTINGS = Path(__file__).parent / "django_suite"
ANCHORS = tomllib.loads((Path(__file__).parent / "anchors.toml").read_text("utf-8"))
CACHE = TEMPLATE / ".cache"

# What a router has to do.
ROUTING = ("multiple_database", "prefetch_related")
SEVERAL_DATABASES = (*ROUTING, "contenttypes_tests", "migrations.test_multidb", "transactions")
# And whatever else uses several databases, their connections, or a result after its function has returned.
EVERYTHING = (
    *SEVERAL_DATABASES,
    "async",
    "backends.base.test_base.ConnectionHealthChecksTests",
    "backends.base.test_base.ExecuteWrapperTests",
    "backends.base.test_base.MultiDatabaseTests",
    "backends.base.test_creation",
    "context_processors",
    "db_utils",
    "fixtures",
    "handlers",
    "migrate_signals",
    "raw_query",
    "select_for_update",
    "servers",
    "sessions_tests",
    "sites_framework",
    "test_utils",
    "transaction_hooks",
)

# Settings, topology, engine, tests. What is replaced meets the drivers; a router doesn't know the engine.
RUNS = [
    ("shim", "app-split", "sqlite", EVERYTHING),
    *(("shim", "app-split", engine, SEVERAL_DATABASES) for engine in SERVER_FIXTURES),
    ("app_split", "app-split", "sqlite", SEVERAL_DATABASES),
    ("primary_replica", "primary-replica", "sqlite", ROUTING),
    ("subdomain_tenant", "subdomain-tenant", "sqlite", ROUTING),
]

pytestmark = pytest.mark.xdist_group("django's own suite")


@pytest.fixture(scope="session")
def runtests() -> Path:
    """Django's test runner, as it was released with the installed version."""
    name = f"django-{django.get_version()}"
    runner = CACHE / name / "tests" / "runtests.py"
    if not runner.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            with tarfile.open(download(Path(folder))) as archive:
                archive.extractall(folder, filter="data")
            (Path(folder) / name).rename(CACHE / name)
    return runner


def download(folder: Path) -> Path:
    """The only thing here that needs a network: without one it is a failure in CI and a skip on a desk."""
    pip = (tool("uv"), "tool", "run", "--python", sys.executable, "pip", "download", "--quiet", "--dest", str(folder))
    wanted = ("--no-deps", "--no-binary=django", f"django=={django.get_version()}")
    result = subprocess.run([*pip, *wanted], env=environment(), capture_output=True, text=True, timeout=300)
    if result.returncode == 0:
        [archive] = folder.glob("*.tar.gz")
        return archive
    fault = f"The source of Django {django.get_version()} can't be downloaded:\n{result.stderr}"
    if os.environ.get("CI"):
        pytest.fail(fault, pytrace=False)
    pytest.skip(fault)


def urls(request: pytest.FixtureRequest, engine: str) -> dict[str, str]:
    """The variables of the two databases; the test runner makes test databases beside them."""
    names = {"DEFAULT_URL": "django_suite", "OTHER_URL": "django_suite_other"}
    if engine not in SERVER_FIXTURES:
        return dict.fromkeys(names, "sqlite:///:memory:")
    server = request.getfixturevalue(SERVER_FIXTURES[engine]).primary
    return {variable: server.url(name) for variable, name in names.items()}


@pytest.mark.parametrize(("settings", "topology", "engine", "labels"), RUNS, ids=[f"{run[0]}-{run[2]}" for run in RUNS])
def test_djangos_own_tests_pass(
    request: pytest.FixtureRequest,
    baked: Bake,
    runtests: Path,
    settings: str,
    topology: str,
    engine: str,
    labels: tuple[str, ...],
) -> None:
    project = baked(Combination(topology, engine, "database"))
    path = os.pathsep.join([str(SETTINGS), str(project)])
    command = ("python", "-W", "error", "runtests.py", f"--settings={settings}", "--parallel=1", "--noinput", *labels)

    output = run(runtests.parent, *command, PYTHONPATH=path, **urls(request, engine))

    [ran] = re.findall(r"^Ran (\d+) tests", output, re.MULTILINE)
    [skipped] = re.findall(r"^OK(?: \(skipped=(\d+))?", output, re.MULTILINE)
    print(f"Django {django.get_version()}, {settings}, {engine}: ran {ran} tests, skipped {skipped or 0}")
    assert int(ran) - int(skipped or 0) > 100


def cases_in(path: Path) -> set[tuple[str, str]]:
    """Class and name of the tests in a file."""
    return {
        (cls.name, function.name)
        for cls in ast.parse(path.read_text("utf-8")).body
        if isinstance(cls, ast.ClassDef)
        for function in cls.body
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
    }


def test_each_case_of_djangos_is_restated_for_our_routers(runtests: Path) -> None:
    listed = {(group, case) for group, cases in ANCHORS["django"].items() for case in cases}

    assert cases_in(runtests.with_name("multiple_database") / "tests.py") - listed == set()


@pytest.mark.parametrize("anchor", ANCHORS)
def test_the_tests_that_restate_a_case_are_there(anchor: str) -> None:
    named = [name for cases in ANCHORS[anchor].values() for ours in cases.values() for name in as_list(ours)]
    ours = {
        function.name
        for path in (TEMPLATE / SKELETON).rglob("tests/test_*.py")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
    }

    assert {name for name in named if " " not in name} - ours == set()


def as_list(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names
