"""Requests for the pages of many tenants, and the sessions that are held for them; a part of tenants.py."""

import contextlib
import statistics
import subprocess
from collections.abc import Iterator

from tenant_projects import (
    DATABASES,
    DJANGO_PGSCHEMAS,
    DJANGO_TENANTS,
    PLAIN,
    PLAIN_CHECKED,
    SCHEMAS,
    Aim,
    PgBouncer,
    Projects,
    Way,
    socket_url,
)

FIRST = "plain Django, one database"
OUR_SCHEMAS, WARM, POOLED = "ours, schemas", "ours, databases, all warm", "the same, PgBouncer's socket"
THREADS = (1, 4)
Ratios = dict[str, float]
Cost = tuple[float, float]  # of a request: the time it took, and how much of that it had a processor; microseconds


def measure_requests(found: Projects, tenants: int, turns: int, pooler: PgBouncer) -> list[Aim]:
    """With one thread and with some; the aims are about one, whose requests wait for nobody."""
    ways = ways_of(tenants, pooler)
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(serving(found, name, way)) for name, way in ways.items()}
        ratios = {threads: measure(servers, tenants, threads, turns) for threads in THREADS}
        show_sessions(found, ways, tenants)
    single = ratios[THREADS[0]]
    return [
        Aim("requests a second, schemas, of plain Django's", single[OUR_SCHEMAS], 0.8),
        Aim("requests a second, warm databases, of plain Django's", single[WARM], 0.7),
        Aim("requests a second, databases beyond the budget, PgBouncer", single[POOLED], 0.4),
    ]


def ways_of(tenants: int, pooler: PgBouncer) -> dict[str, Way]:
    few = {"TENANT_MAX_CONNECTIONS": str(tenants // 5)}
    by_tcp = {"TENANT_DATABASE_URL": f"{pooler.url('bench_database')}?pgbouncer=true"}
    by_socket = {"TENANT_DATABASE_URL": f"{socket_url(pooler, 'bench_database')}&pgbouncer=true"}
    return {
        FIRST: PLAIN,
        "the same, asked first if it is alive": PLAIN_CHECKED,
        OUR_SCHEMAS: SCHEMAS,
        WARM: DATABASES._replace(environment={"TENANT_MAX_CONNECTIONS": str(tenants * max(THREADS))}),
        "ours, databases, a fifth warm": DATABASES._replace(environment=few),
        "the same, PgBouncer with a password": DATABASES._replace(environment=few | by_tcp),
        POOLED: DATABASES._replace(environment=few | by_socket),
        "django-tenants": DJANGO_TENANTS,
        "django-tenants, limited SET": DJANGO_TENANTS._replace(settings="by_django_tenants.limited"),
        "django-pgschemas": DJANGO_PGSCHEMAS,
        "django-pgschemas, limited SET": DJANGO_PGSCHEMAS._replace(settings="by_django_pgschemas.limited"),
    }


@contextlib.contextmanager
def serving(found: Projects, name: str, way: Way) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, by whose name the server knows its sessions."""
    named = way._replace(environment={**way.environment, "PGAPPNAME": name})
    with found.start(named, "-m", "tenant_site.serve", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            yield server
        finally:
            server.kill()


def measure(servers: dict[str, subprocess.Popen[str]], tenants: int, threads: int, turns: int) -> Ratios:
    """Each way's requests a second, relative to the first's. On a busy machine the processor's time is the steadier."""
    for server in servers.values():
        ask(server, tenants, threads)  # from here on it is warm
    found = [{name: ask(server, tenants, threads) for name, server in servers.items()} for _ in range(turns)]
    ratios = {name: statistics.median(turn[FIRST][0] / turn[name][0] for turn in found) for name in servers}
    worked = {name: statistics.median(turn[FIRST][1] / turn[name][1] for turn in found) for name in servers}
    print(f"\na request for one of {tenants} tenants, {threads} at once")
    for name, ratio in ratios.items():
        cost = statistics.median(turn[name][0] for turn in found)
        steady = f"{worked[name]:5.2f} by processor"
        print(f"{name:>42}: {cost:6.0f} us, {ratio:5.2f} of the first's requests a second, {steady}")
    return ratios


def ask(server: subprocess.Popen[str], tenants: int, threads: int) -> Cost:
    print(tenants, threads, file=server.stdin, flush=True)
    spent, worked = map(float, server.stdout.readline().split())
    return spent, worked


def show_sessions(found: Projects, ways: dict[str, Way], tenants: int) -> None:
    counts = dict(found.server.execute("SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1"))
    print(f"\nsessions on the server after requests for {tenants} tenants, {max(THREADS)} at once")
    for name in ways:
        print(f"{name:>42}: {counts.get(name, 0):6}")
