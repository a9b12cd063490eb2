"""The project once more: in processes of its own, with other settings and databases made for the occasion."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from config.env import env, from_url
from dbrouting.aliases import lent
from dbrouting.provisioning import drop_database


def environment_of(settings_module: str, urls: Mapping[str, str]) -> dict[str, str]:
    """This process's variables, with ``urls`` by variable, for a module of settings in this folder."""
    paths = os.pathsep.join([str(settings.BASE_DIR), str(Path(__file__).parent)])
    return {
        **os.environ,
        **urls,
        "DJANGO_DEBUG": "True",
        "DJANGO_SETTINGS_MODULE": settings_module,
        "PYTHONPATH": paths,
    }


def run_python(environment: Mapping[str, str], *arguments: str) -> str:
    """What ``python`` with ``arguments`` prints; it must succeed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fresh_url(alias: str, suffix: str, folder: Path) -> str:
    """The URL of a database that isn't there: beside that of ``alias`` on its server, or a file in ``folder``."""
    if connections[alias].vendor == "sqlite":
        return f"sqlite:///{folder}/{suffix}.sqlite3"
    configured: str = env.str(connections[alias].settings_dict["VARIABLE"])
    url = urlsplit(configured)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # each makes its own
    return url._replace(path=f"{url.path}{worker}_{suffix}").geturl()


@contextmanager
def dropped_afterwards(url: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection to the database at ``url``, which somebody makes in the block."""
    with lent(from_url("fresh", "", url)) as alias:
        try:
            yield connections[alias]
        finally:
            drop_database(connections[alias])
