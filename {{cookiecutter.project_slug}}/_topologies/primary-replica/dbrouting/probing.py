"""Ask servers how they are, without waiting long for an answer."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from config import engine
from dbrouting.replicas import primary_alias


def connection_of_its_own(alias: str) -> BaseDatabaseWrapper:
    """A connection to ``alias`` that nobody shares, in no pool, and that gives up on a server which says nothing.

    It belongs to the thread that asks for it, which closes it.
    """
    connection = connections[alias].copy()
    options = {key: value for key, value in connection.settings_dict["OPTIONS"].items() if key != "pool"}
    connection.settings_dict["OPTIONS"] = {**options, **engine.IMPATIENT}
    return connection


def answers_yes(cursor: Any, question: str) -> bool:
    cursor.execute(question)
    return bool(cursor.fetchone()[0])


def leads_to_the_primary(connection: BaseDatabaseWrapper) -> bool:
    """Whether a replica's alias has the primary's own address."""
    return address_of(connection.settings_dict) == address_of(connections[primary_alias()].settings_dict)


def address_of(config: Mapping[str, Any]) -> tuple[object, ...]:
    """Equal for those who lead to the same database; of the same list of hosts, to servers of the same kind."""
    port = config["PORT"] or urlsplit(engine.EXAMPLE_URL).port  # its usual one, which a URL may leave out
    return config["HOST"].lower(), str(port), config["NAME"], config["OPTIONS"].get("target_session_attrs")
