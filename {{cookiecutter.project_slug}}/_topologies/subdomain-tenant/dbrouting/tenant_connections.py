"""Connections to tenants' databases: their aliases are unlisted, so nothing of Django's ever closes them.

They are when Django closes those it lists: where a request begins and where it ends. A thread that no request is bound
to, an executor's for instance, has no such end: it keeps the last one it used.
"""

import os
import threading

from django.core.signals import request_finished, request_started
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from dbrouting.tenant_names import key_of

_thread = threading.local()  # Django's connections belong to a thread too


def opened_here() -> set[str]:
    """The tenants' aliases that this thread has connected to and not yet let go, or removed: none is made anew."""
    aliases: set[str] = _thread.__dict__.setdefault("aliases", set())
    here = connections._connections  # type: ignore[attr-defined]  # Django's own, no stub
    aliases.difference_update([alias for alias in aliases if not hasattr(here, alias)])
    return aliases


def note_connection(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    if key_of(connection.alias) is not None and connection.alias not in list(connections):
        opened_here().add(connection.alias)


def close_old_connections(**kwargs: object) -> None:
    """What ``django.db.close_old_connections`` does for listed aliases, for the tenants this thread went to."""
    for alias in tuple(opened_here()):
        connections[alias].close_if_unusable_or_obsolete()
        if connections[alias].connection is None:
            opened_here().discard(alias)
            del connections[alias]


def leave_to_parent() -> None:
    """Begin a forked process without connections: to close one would speak in the parent's session, and end its work.

    The parent's stock still holds them here, so that they aren't closed as garbage either.
    """
    for alias in tuple(opened_here()):
        opened_here().discard(alias)
        del connections[alias]


if hasattr(os, "register_at_fork"):  # there is no fork() on Windows
    os.register_at_fork(after_in_child=leave_to_parent)
connection_created.connect(note_connection)
request_started.connect(close_old_connections)
request_finished.connect(close_old_connections)
