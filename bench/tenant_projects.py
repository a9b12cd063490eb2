"""The projects that tenants.py compares, on one throwaway PostgreSQL: ours, plain Django's, the peers'."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
SITE = Path(__file__).parent / "tenant_site"
sys.path.insert(0, str(TEMPLATE / "tests"))
from servers import USER, PgBouncer, PostgreSQL, kept_folder, postgresql_binaries  # noqa: E402  found by the line before


class Way(NamedTuple):
    """One way to serve tenants: an isolation's project, settings, and what the environment says besides."""

    isolation: str
    settings: str
    environment: dict[str, str] = {}
    prepare: tuple[str, ...] = ()  # commands of manage.py before there is a tenant


class Aim(NamedTuple):
    """What is hoped for."""

    what: str
    found: float
    bound: float
    at_least: bool = True


class BenchServer(PostgreSQL):
    """One that lets each tenant's database have a session, and a PgBouncer as many again."""

    def settings(self) -> dict[str, object]:
        return {"max_connections": 600, "shared_buffers": "256MB", "max_locks_per_transaction": 256}


class Projects:
    """Each isolation's project, with the site of the benchmarks in it, and the server of all."""

    def __init__(self, folder: Path, server: PostgreSQL) -> None:
        self.server = server
        self.folders = {isolation: self._baked(folder / isolation, isolation) for isolation in ("schema", "database")}

    def _baked(self, folder: Path, isolation: str) -> Path:
        answers = {"project_name": f"bench {isolation}", "project_slug": f"bench_{isolation}"}
        answers |= {"topology": "subdomain-tenant", "database_engine": "postgresql", "tenant_isolation": isolation}
        project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), extra_context=answers))
        shutil.copytree(SITE, project / SITE.name)
        return project

    def environment(self, way: Way) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",  # or each process compiles Django first
            "DJANGO_SETTINGS_MODULE": f"{SITE.name}.{way.settings}",
            "DATABASE_URL": self.server.url(f"bench_{way.isolation}"),
            "DATABASE_ADMIN_URL": "",
            "TENANT_DATABASE_PREFIX": f"bench_{way.isolation}",
            "DJANGO_DEBUG": "False",
            "DJANGO_USE_HTTPS": "False",
            "DJANGO_ALLOWED_HOSTS": "*",
            **way.environment,
        }

    def start(self, way: Way, *words: object, **streams: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=self.folders[way.isolation],
            env=self.environment(way),
            text=True,
            **streams,
        )

    def run(self, way: Way, *words: object) -> str:
        """The output of a command that must succeed."""
        with self.start(way, *words, stdout=subprocess.PIPE) as process:
            output, _ = process.communicate()
        if process.returncode:
            sys.exit(f"`{' '.join(map(str, words))}` with {way.settings} exited with {process.returncode}.")
        return output

    def manage(self, way: Way, *words: object) -> str:
        return self.run(way, "manage.py", *words)


SCHEMAS = Way("schema", "ours", prepare=("bootstrap --verbosity=0",))
DATABASES = Way("database", "ours", prepare=("bootstrap --verbosity=0",))
ONLY = {"ONLY_TENANT": "t0"}  # its rows are at each host
PLAIN = Way("schema", "plain", ONLY, ("migrate --verbosity=0",))
PLAIN_CHECKED = Way("schema", "plain_checked", ONLY)
DJANGO_TENANTS = Way(
    "schema",
    "by_django_tenants.settings",
    prepare=("makemigrations by_django_tenants --verbosity=0", "migrate_schemas --shared --verbosity=0"),
)
DJANGO_TENANTS_CLONED = Way("schema", "by_django_tenants.cloned")
DJANGO_PGSCHEMAS = Way(
    "schema",
    "by_django_pgschemas.settings",
    prepare=(
        "makemigrations by_django_pgschemas --verbosity=0",
        "migrate --schema public --verbosity=0",
        "createrefschema --verbosity=0",
    ),
)
OWN_DATABASES = ("bench_plain", "bench_django_tenants", "bench_django_pgschemas")  # the other ways make theirs


@contextlib.contextmanager
def projects(folder: Path) -> Iterator[Projects]:
    with kept_folder() as keeper:
        server = BenchServer(keeper, "primary", postgresql_binaries())
        server.create()
        yield Projects(folder, server)


def socket_url(server: PgBouncer, database: str) -> str:
    """By way of its socket, which asks for no password: that takes longer than all else of connecting."""
    return f"{server.scheme}://{USER}@/{database}?host={server.keeper.folder}&port={server.port}"


@contextlib.contextmanager
def bouncer(server: PostgreSQL) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(server)
    bouncer.create()
    yield bouncer
