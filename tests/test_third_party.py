"""An app from PyPI in each topology: its tables, its foreign key to the user and its command, as the README says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import SQLITE, Combination, variants
from databases import SQLiteFiles
from processes import environment, manage

pytestmark = pytest.mark.once

APP = "rest_framework.authtoken"
TABLE = "authtoken_token"


def project_with_the_app(fresh: Callable[..., Path], combination: Combination) -> Path:
    project = fresh(**combination._asdict())
    replace(project / "config" / "settings.py", '    "demo",\n', f'    "demo",\n    "{APP}",\n')
    return project


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def tokens(project: Path) -> dict[str, int]:
    """How many each database holds that has the table."""
    files = SQLiteFiles(project)
    return {
        place.name.removesuffix(".sqlite3"): len(files.rows(place, TABLE))
        for place in files.places()
        if TABLE in files.tables(place) and "__template_" not in place.name  # what new tenants are copied from
    }


def on_sqlite(topology: str) -> pytest.MarkDecorator:
    return variants([combination for combination in SQLITE if combination.topology == topology])


@on_sqlite("app-split")
def test_app_split_refuses_a_package_apart_from_the_users_and_holds_it_beside_them(
    fresh: Callable[..., Path], combination: Combination
) -> None:
    project = project_with_the_app(fresh, combination)
    check = [sys.executable, "manage.py", "check"]
    found = subprocess.run(check, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "authtoken.Token.user relates authtoken, in 'default', to accounts, in 'auth_db'" in found.stderr

    replace(project / "config" / "databases.py", '    "auth": ', '    "authtoken": "auth_db",\n    "auth": ')
    manage(project, "bootstrap", "--demo")
    manage(project, "drf_create_token", "demo")

    assert tokens(project) == {"auth": 1}


@on_sqlite("primary-replica")
def test_primary_replica_reads_a_package_of_the_primary_only(
    fresh: Callable[..., Path], combination: Combination
) -> None:
    project = project_with_the_app(fresh, combination)
    databases = project / "config" / "databases.py"
    replace(databases, 'PRIMARY_ONLY_APPS = {"accounts", ', 'PRIMARY_ONLY_APPS = {"accounts", "authtoken", ')
    manage(project, "bootstrap", "--demo")
    manage(project, "drf_create_token", "demo")

    assert tokens(project) == {"default": 1}
    where = "from rest_framework.authtoken.models import Token; print(Token.objects.all().db)"
    assert manage(project, "shell", "--verbosity=0", "--command", where).split()[-1] == "default"


@on_sqlite("subdomain-tenant")
def test_each_tenant_has_the_tables_of_a_package_and_its_commands_run_for_one(
    fresh: Callable[..., Path], combination: Combination
) -> None:
    project = project_with_the_app(fresh, combination)
    manage(project, "bootstrap", "--demo")
    for_acme = (
        "from django.core.management import call_command\n"
        "from dbrouting.tenant_context import tenant_context\n"
        "from tenants.services import get_tenant\n"
        "with tenant_context(get_tenant('acme')):\n"
        "    call_command('drf_create_token', 'demo')\n"
    )
    manage(project, "shell", "--verbosity=0", "--command", for_acme)

    assert tokens(project) == {"tenant_acme": 1, "tenant_globex": 0}
