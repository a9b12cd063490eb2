"""Making tenants, beside what the server needs for it at least; a part of tenants.py."""

import statistics
import subprocess
import time
from collections.abc import Callable

from tenant_projects import (
    DATABASES,
    DJANGO_PGSCHEMAS,
    DJANGO_TENANTS,
    DJANGO_TENANTS_CLONED,
    OWN_DATABASES,
    PLAIN,
    SCHEMAS,
    Aim,
    Projects,
    Way,
)

COPIES = 10


def measure_creation(found: Projects, tenants: int) -> list[Aim]:
    """Makes, for all that follows, the tenants of each way with their rows."""
    for database in OWN_DATABASES:
        found.server.execute(f"CREATE DATABASE {database} OWNER shop")
    made(found, PLAIN, 1)
    ways = {"ours, schemas": SCHEMAS, "ours, databases": DATABASES}
    ways |= {"django-tenants": DJANGO_TENANTS, "django-pgschemas, clones": DJANGO_PGSCHEMAS}
    costs = {name: made(found, way, tenants) for name, way in ways.items()}
    costs["django-tenants, clones"] = made(found, DJANGO_TENANTS_CLONED, tenants + COPIES, tenants)
    schemas = "limit: a schema's statements again"
    databases = "limit: CREATE DATABASE … TEMPLATE"
    costs[schemas] = median_of(COPIES, schema_again(found))
    costs[databases] = median_of(COPIES, database_copied(found))
    print("\nmaking a tenant")
    for name, cost in costs.items():
        print(f"{name:>42}: {cost:6.0f} ms")
    return [
        Aim("making a schema, of what its statements take", costs["ours, schemas"] / costs[schemas], 1.5, False),
        Aim("making a database, of what copying takes", costs["ours, databases"] / costs[databases], 1.5, False),
    ]


def made(found: Projects, way: Way, end: int, first: int = 0) -> float:
    """Milliseconds for one of them."""
    for command in way.prepare:
        found.manage(way, *command.split())
    printed = found.run(way, "-m", "tenant_site.rows", first, end)
    return statistics.median(map(float, printed.split()))


def median_of(times: int, act: Callable[[int], object]) -> float:
    spent = []
    for number in range(times):
        begun = time.perf_counter()
        act(number)
        spent.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(spent)


def database_copied(found: Projects) -> Callable[[int], object]:
    how = "TEMPLATE bench_database_t0 STRATEGY wal_log"
    return lambda number: found.server.execute(f"CREATE DATABASE bench_limit_{number} {how}")


def schema_again(found: Projects) -> Callable[[int], object]:
    """What made the first tenant's schema and put its rows there, in one go."""
    place = {"host": found.server.keeper.folder, "port": found.server.port, "username": "admin"}
    dump = [found.server.binaries / "pg_dump", *(f"--{key}={value}" for key, value in place.items())]
    dump += ["--inserts", "--rows-per-insert=1000", "--no-owner", "--no-privileges", "--schema=bench_schema_t0"]
    statements = subprocess.run([*dump, "bench_schema"], check=True, capture_output=True, text=True).stdout
    lines = [line for line in statements.splitlines() if not line.startswith("\\")]  # what psql alone understands
    return lambda number: found.server.execute(
        "\n".join(lines).replace("bench_schema_t0", f"limit_{number}"), database="bench_schema"
    )
