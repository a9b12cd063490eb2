"""``/healthz``, for load balancers and monitors: is the primary there, and what became of the replicas."""

from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse

from dbrouting import consistency, health
from dbrouting.probing import answers_yes, connection_of_its_own
from dbrouting.provisioning import is_missing_file
from dbrouting.replicas import primary_alias


def healthz(request: HttpRequest) -> JsonResponse:
    """Anybody may read it: it tells no host, no user and no error of a server's.

    It asks the primary, by a new connection, which says more than an old one; of the replicas it repeats what this
    process knows.
    """
    is_there = is_reachable(primary_alias())
    body = {
        "primary": "ok" if is_there else "unreachable",
        "replicas": {alias: facts_of(replica) for alias, replica in health.states().items()},
        "ignored_tokens": dict(consistency.ignored),
    }
    response = JsonResponse(body, status=200 if is_there else 503)
    response["Cache-Control"] = "no-store"
    return response


def is_reachable(alias: str) -> bool:
    connection = connection_of_its_own(alias)
    if is_missing_file(connection):
        return False
    try:
        with connection.cursor() as cursor:
            return answers_yes(cursor, "SELECT 1")
    except DatabaseError:
        return False
    finally:
        connection.close()


def facts_of(replica: health.Health) -> dict[str, Any]:
    return {
        "state": replica.state,
        "since": replica.since and replica.since.isoformat(timespec="seconds"),
        "lag_seconds": replica.lag_seconds and round(replica.lag_seconds, 1),
        "reason": replica.summary,
    }
