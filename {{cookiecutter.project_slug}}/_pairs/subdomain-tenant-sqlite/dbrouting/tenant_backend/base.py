"""SQLite's: opening a file costs next to nothing, and whoever kept a deleted one open would go on reading it."""

from django.db.backends.sqlite3 import base

from dbrouting.tenant_backend.wrapper import Stocked


class DatabaseWrapper(Stocked, base.DatabaseWrapper):
    """One of at most so many open files. None is kept."""
