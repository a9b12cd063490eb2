"""A server that takes statements and says nothing any more keeps nobody waiting."""

import threading
import time
from contextlib import closing

from django.db import connections

from dbrouting import fallback, health
from dbrouting.pinning import is_pinned_to_primary, unit_of_work

# A while on a replica, and answered at once by the primary.
SLOW = "SELECT SLEEP(IF(@@read_only, 3, 0))"
PATIENCE = 30  # seconds


def cut_off(alias: str) -> None:
    """What the thread does that looks after the replica, as soon as somebody waits for it."""
    deadline = time.monotonic() + PATIENCE
    while not fallback._waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)  # until the statement has been sent
    health.replica_hangs.send(None, alias=alias)


def test_a_read_that_waits_for_it_is_answered_by_the_primary(replica_server: str) -> None:
    thread = threading.Thread(target=cut_off, args=(replica_server,))
    with unit_of_work():
        with connections[replica_server].cursor() as cursor:
            thread.start()
            cursor.execute(SLOW)
            row = cursor.fetchone()
        thread.join()

        assert row is not None
        assert is_pinned_to_primary()
    assert fallback._waiting == {}


def test_one_that_waits_for_another_goes_on(replica_server: str) -> None:
    with unit_of_work():
        with connections[replica_server].cursor() as cursor, cursor._replica.waiting():
            health.replica_hangs.send(None, alias="another")
            cursor.execute("SELECT 1")

            assert cursor.fetchone() == (1,)
        assert not is_pinned_to_primary()


def test_a_query_may_take_longer_than_connecting(replica_server: str) -> None:
    connection = connections[replica_server].copy()
    connection.settings_dict["OPTIONS"] = {**connection.settings_dict["OPTIONS"], "connect_timeout": 1}
    with closing(connection), unit_of_work(), connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(1.1)")

        assert cursor.fetchone() == (0,)
        assert not is_pinned_to_primary()
