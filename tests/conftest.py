import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from baking import COMBINATIONS, Combination, copy_of_template
from databases import Databases, databases_of
from processes import manage
from pytest_cookies.plugin import Cookies
from servers import Cluster, mariadb_cluster, postgresql_cluster

# Database engine → the fixture that starts its servers.
SERVER_FIXTURES = {"postgresql": "postgresql", "mysql": "mariadb"}

Bake = Callable[[Combination], Path]
DatabasesOf = Callable[..., Databases]
Bootstrapped = Callable[[Combination], tuple[Path, Databases]]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `git clone` of the template would give, without stray files of the working copy."""
    return copy_of_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def baked(cookies_session: Cookies, template: Path) -> Bake:
    """A project for each combination, baked once in a session. Tests may run it but must not edit its files."""
    projects: dict[Combination, Path] = {}

    def bake(combination: Combination) -> Path:
        if combination not in projects:
            projects[combination] = bake_in(cookies_session, template, **combination._asdict())
        return projects[combination]

    return bake


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """Each worker has its own, from the first test that needs it to the end of the session."""
    with postgresql_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Cluster]:
    with mariadb_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> DatabasesOf:
    """The databases of a project: files, or on servers that are started now if no test needed them before."""

    def find(project: Path, combination: Combination, label: str = "") -> Databases:
        fixture = SERVER_FIXTURES.get(combination.database_engine)
        return databases_of(project, combination, fixture and request.getfixturevalue(fixture), label)

    return find


@pytest.fixture(scope="session")
def bootstrapped(cookies_session: Cookies, template: Path, databases: DatabasesOf) -> Bootstrapped:
    """A project that has made its databases and filled them with the demo data, once in a session."""
    ready: dict[Combination, tuple[Path, Databases]] = {}

    def bootstrap(combination: Combination) -> tuple[Path, Databases]:
        if combination not in ready:
            project = bake_in(cookies_session, template, **combination._asdict())
            ready[combination] = project, databases(project, combination)
            manage(project, "bootstrap", **ready[combination][1].environment)
        ready[combination][1].catch_up()
        return ready[combination]

    return bootstrap


@pytest.fixture
def fresh(cookies: Cookies, template: Path) -> Callable[..., Path]:
    """A project of the test's own, baked from the answers given."""
    return lambda **answers: bake_in(cookies, template, **answers)


def bake_in(cookies: Cookies, template: Path, **answers: Any) -> Path:
    result = cookies.bake(extra_context=answers, template=str(template))
    if result.exception is not None:
        raise result.exception
    return result.project_path


@pytest.fixture(params=COMBINATIONS, ids=str)
def combination(request: pytest.FixtureRequest) -> Combination:
    return request.param


@pytest.fixture
def project(baked: Bake, combination: Combination) -> Path:
    return baked(combination)


@pytest.fixture
def empty_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that must still be empty when the test is over: a refused answer leaves nothing behind."""
    folder = tmp_path / "projects"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have measured and recorded as ``figures``, of those that passed as well."""
    for report in itertools.chain(*(terminalreporter.getreports(outcome) for outcome in ("passed", "failed"))):
        figures = [value for name, value in report.user_properties if name == "figures"]
        if report.when == "call" and figures:
            terminalreporter.write_sep("-", report.nodeid)
            terminalreporter.write_line("\n".join(figures))
