"""What a person reads who made a mistake in ``.env``: one message, not a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from dbrouting.aliases import usable_aliases

ALIAS = usable_aliases()[0]
VARIABLE = str(connections.settings[ALIAS]["VARIABLE"])


def manage(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("url", ["", "nonsense"])
def test_a_url_that_is_missing_or_malformed(url: str) -> None:
    done = manage("check", **{VARIABLE: url})

    assert done.returncode == 1
    assert VARIABLE in done.stderr
    assert f"'{ALIAS}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_traceback_is_there_for_who_asks() -> None:
    assert "Traceback" in manage("check", "--traceback", **{VARIABLE: "nonsense"}).stderr


def test_a_database_that_can_not_be_reached(tmp_path: Path) -> None:
    unreachable = {
        "sqlite": f"sqlite:///{tmp_path}/missing/shop.sqlite3",
        "postgresql": "postgres://user:password@127.0.0.1:1/shop",
        "mysql": "mysql://user:password@127.0.0.1:1/shop",
    }
    done = manage("showmigrations", "--database", ALIAS, **{VARIABLE: unreachable[connections[ALIAS].vendor]})

    assert done.returncode == 1
    assert f"The database '{ALIAS}' can't be reached" in done.stderr
    assert VARIABLE in done.stderr
    assert "manage.py showmigrations" in done.stderr
    assert "Traceback" not in done.stderr
