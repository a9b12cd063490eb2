"""mysqlclient in PyMySQL's place, as config/engine.py says how, works too where code looks into connections."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import DatabasesOf
from processes import run, tool
from servers import unavailable

MYSQL = [combination for combination in COMBINATIONS if combination.database_engine == "mysql"]
# The names that client libraries go by.
LIBRARIES = ("mysqlclient", "mariadb", "libmariadb")
# The tests of each topology that look into connections, or let them fail. With the others it takes minutes.
TESTS = {
    "app-split": ("test_random_moves.py", "test_tables_put_aside.py"),
    "primary-replica": ("test_fallback.py", "test_hanging_replica.py", "test_replication_positions.py"),
    "subdomain-tenant": ("test_copied_rows.py", "test_kept_sessions.py", "test_places.py"),
}


@pytest.mark.once
@variants(MYSQL)
def test_a_project_works_with_mysqlclient(
    fresh: Callable[..., Path], databases: DatabasesOf, combination: Combination
) -> None:
    tool("uv")
    require_what_builds_it()
    project = fresh(**combination._asdict())
    put_mysqlclient_in(project)
    run(project, "uv", "sync", "--quiet")
    tests = [f"tests/{name}" for name in TESTS[combination.topology]]
    variables = databases(project, combination, "mysqlclient_").environment
    run(project, "uv", "run", "pytest", "-q", *tests, **variables)
    assert "pymysql" not in run(project, "uv", "pip", "list")


def require_what_builds_it() -> None:
    found = [name for name in ("cc", "pkg-config") if shutil.which(name)]
    if len(found) == 2 and any(subprocess.call(["pkg-config", "--exists", name]) == 0 for name in LIBRARIES):
        return
    unavailable("what mysqlclient is built with", "install a C compiler, pkg-config and libmariadb-dev")


def put_mysqlclient_in(project: Path) -> None:
    edit(project / "pyproject.toml", {r'"pymysql\[rsa\][^"]*"': '"mysqlclient>=2.2"', '"pymysql': '"MySQLdb'})
    edit(
        project / "config" / "engine.py",
        {"^import pymysql\n": "", r"^pymysql\..*\n": "", "^from pymysql": "from MySQLdb"},
    )


def edit(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text("utf-8")
    for pattern, replacement in changes.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count == 1, pattern
    path.write_text(text, "utf-8")
