"""Answers requests for tenants' pages, as many and as often as standard input says: ``python -m tenant_site.serve``.

A line is a number of tenants and a number of threads. The answer is the microseconds that a request took, and those for
which it had a processor. Each of the tenants is asked for some times, in no order, and once before that: other ways had
their turn meanwhile, and what is remembered for seconds only is forgotten.
"""

import io
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import django
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory

from tenant_site.rows import name_of

django.setup()
handler = WSGIHandler()
environ = {**RequestFactory().get("/").environ}


ROUNDS = 2


def serve(name: str) -> None:
    response = handler({**environ, "HTTP_HOST": f"{name}.localhost", "wsgi.input": io.BytesIO()}, begin_response)
    body = b"".join(response)
    response.close()
    if f'"{os.environ.get("ONLY_TENANT", name)}"'.encode() not in body:
        raise AssertionError(f"{name} was answered {response.status_code}: {body[:2000]!r}")


def begin_response(status: str, headers: list[tuple[str, str]]) -> None:
    """What a server would send first."""


def main() -> None:
    pools: dict[int, ThreadPoolExecutor] = {}
    for line in sys.stdin:
        tenants, threads = map(int, line.split())
        names = [name_of(number) for number in range(tenants)]
        pool = pools.setdefault(threads, ThreadPoolExecutor(threads))
        serve_all = pool.map if threads > 1 else map
        list(serve_all(serve, names))
        names *= ROUNDS
        random.shuffle(names)
        begun, worked = time.perf_counter(), time.process_time()
        list(serve_all(serve, names))
        spent = time.perf_counter() - begun, time.process_time() - worked
        print(*(seconds / len(names) * 1e6 for seconds in spent), flush=True)


if __name__ == "__main__":
    main()
