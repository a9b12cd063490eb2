"""Migrating many tenants, each time by a process of its own; a part of tenants.py."""

import statistics
import time

from tenant_projects import DATABASES, DJANGO_PGSCHEMAS, DJANGO_TENANTS, SCHEMAS, Aim, Projects, Way

TIMES = 3
COLUMN = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalogue", "{before}")]
    operations = [migrations.AddField("product", "{name}", models.IntegerField(null=True))]
"""
OURS = ("ours, schemas", "ours, databases")
# Name → how, and the command that migrates all tenants.
WAYS: dict[str, tuple[Way, str]] = {
    "ours, schemas": (SCHEMAS, "migrate_tenants"),
    "ours, databases": (DATABASES, "migrate_tenants"),
    "django-tenants": (DJANGO_TENANTS, "migrate_schemas --tenant"),
    "django-tenants, processes": (DJANGO_TENANTS, "migrate_schemas --tenant --executor=multiprocessing"),
    "django-pgschemas": (DJANGO_PGSCHEMAS, "migrateschema --include-dynamic-schemas"),
    "django-pgschemas, threads": (DJANGO_PGSCHEMAS, "migrateschema --include-dynamic-schemas --parallel"),
}
# In each round a column is new to every tenant, so nobody's are migrated twice.
ROUNDS = [
    (*OURS, "django-tenants", "django-pgschemas"),
    (*OURS, "django-tenants, processes", "django-pgschemas, threads"),
]


def measure_migrations(found: Projects, tenants: int) -> list[Aim]:
    start_up = statistics.median(seconds(found, SCHEMAS, "-c", "import django; django.setup()") for _ in range(TIMES))
    nothing = {name: statistics.median(migrated(found, name) for _ in range(TIMES)) for name in WAYS}
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for number, names in enumerate(ROUNDS * TIMES):
        add_column(found, f"bench_{number}")
        for name in names:
            spent[name].append(migrated(found, name))
    column = {name: statistics.median(times) for name, times in spent.items()}
    print(f"\nmigrating {tenants} tenants; Django's start-up takes {start_up:.2f} s")
    for name in WAYS:
        print(f"{name:>42}: nothing to do {nothing[name]:6.2f} s, one column {column[name]:6.2f} s")
    peers = min(cost for name, cost in column.items() if name not in OURS)
    return [
        Aim("nothing to migrate in schemas, of Django's start-up", nothing["ours, schemas"] / start_up, 2.5, False),
        Aim("one column in schemas: the best peer's time, of ours", peers / column["ours, schemas"], 4),
    ]


def seconds(found: Projects, way: Way, *words: str) -> float:
    begun = time.perf_counter()
    found.run(way, *words)
    return time.perf_counter() - begun


def migrated(found: Projects, name: str) -> float:
    way, command = WAYS[name]
    return seconds(found, way, "manage.py", *command.split(), "--verbosity=0")


def add_column(found: Projects, name: str) -> None:
    for project in found.folders.values():
        folder = project / "catalogue" / "migrations"
        before = max(path.stem for path in folder.glob("0*.py"))
        (folder / f"{int(before[:4]) + 1:04}_{name}.py").write_text(COLUMN.format(before=before, name=name), "utf-8")
