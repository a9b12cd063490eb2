"""Replicas whose connections come from a pool."""

from typing import Any

import pytest
from django.db import connections
from django.db.backends.postgresql import base
from psycopg_pool import PoolTimeout

from catalogue.models import Product
from dbrouting.pinning import is_pinned_to_primary, unit_of_work
from dbrouting.replicas import is_left_out


def test_a_pool_with_too_many_readers_is_no_fault_of_the_server(
    replica_server: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the replica out for all of them, the primary would get the crowd."""
    settings.REPLICA_DATABASES = [replica_server]
    settings.REPLICA_CHECK_SECONDS = 2
    connections[replica_server].close()
    connect = base.DatabaseWrapper.get_new_connection

    def time_out(connection: Any, parameters: Any) -> Any:
        if connection.alias == replica_server:
            raise PoolTimeout("couldn't get a connection after 5.00 sec")
        return connect(connection, parameters)

    monkeypatch.setattr(base.DatabaseWrapper, "get_new_connection", time_out)

    with unit_of_work():
        assert Product.objects.get().slug == "sencha"
        assert is_pinned_to_primary()
    assert not is_left_out(replica_server)
