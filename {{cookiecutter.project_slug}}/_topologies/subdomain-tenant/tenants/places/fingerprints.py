"""What tells one outcome of ``migrate`` from another, without running it.

Migrations that read files, settings or other modules' code may leave something else although they are the same: change
the migration too, or delete the rows of ``tenants_blueprint`` and the templates.
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from sys import modules

import django
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from dbrouting.mapping import alias_matches
from dbrouting.migration_guard import data_operations

LENGTH = 10  # as much as fits into a name of 63 characters, behind the longest prefix
# A change here, or in how blueprints are made, makes all of them outdated.
FORMAT = "1"


@cache
def fingerprint() -> str:
    """That of the running code, which doesn't change while it runs."""
    digest = hashlib.sha256()
    for part in parts():
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:LENGTH]


def parts() -> Iterator[bytes]:
    """Every migration, for each is recorded wherever it has something to do; then what is done at the end of them."""
    yield f"{FORMAT} {django.__version__}".encode()
    for key, migration in sorted(MigrationLoader(None, ignore_no_migrations=True).disk_migrations.items()):
        file = modules[migration.__module__].__file__
        yield repr(key).encode()
        yield Path(file).read_bytes() if file else b""
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        names = (meta.verbose_name_raw, meta.permissions, meta.default_permissions)
        yield repr((meta.label, meta.db_table, *map(str, names))).encode()


@cache
def patterns() -> list[tuple[str, ...]]:
    return [operation.patterns for operation in data_operations()]


def data_migrations_on(alias: str) -> list[bool]:
    """Which of the project's data migrations run there, of all that there are."""
    return [alias_matches(alias, ones) for ones in patterns()]
