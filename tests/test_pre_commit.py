"""The hooks of a baked project run without network, and stop migrations that would do harm."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import environment, manage, run

pytestmark = pytest.mark.once

UNGUARDED = """from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("catalogue", "0001_initial")]

    operations = [migrations.RunSQL("DELETE FROM catalogue_product", migrations.RunSQL.noop)]
"""

UNSAFE = """from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]

    operations = [migrations.RemoveField("order", "status")]
"""


@pytest.fixture
def repository(fresh: Callable[..., Path]) -> Path:
    project = fresh(topology="app-split", database_engine="sqlite")
    manage(project, "bootstrap", "--no-demo")
    run(project, "git", "init", "--quiet")
    run(project, "git", "add", "--all")
    return project


def test_the_hooks_pass_on_a_fresh_project(repository: Path, tmp_path: Path) -> None:
    run(repository, "python", "-m", "pre_commit", "run", "--all-files", PRE_COMMIT_HOME=str(tmp_path / "pre-commit"))


def test_migrations_that_would_do_harm_are_stopped(repository: Path, tmp_path: Path) -> None:
    """One that doesn't say where it runs, and one that drops what the running version needs, unseen on ``default``."""
    (repository / "catalogue" / "migrations" / "0002_clean_up.py").write_text(UNGUARDED)
    (repository / "orders" / "migrations" / "0002_no_status.py").write_text(UNSAFE)
    run(repository, "git", "add", "--all")
    hooks = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run"],
        cwd=repository,
        env=environment(PRE_COMMIT_HOME=str(tmp_path / "pre-commit")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert hooks.returncode == 1
    assert "RunSQL in catalogue.0002_clean_up doesn't say on which database it runs" in hooks.stdout
    assert "dbrouting.W001" in hooks.stdout
    assert "(orders, 0002_no_status)... ERR" in hooks.stdout
