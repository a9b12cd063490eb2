"""Databases that this project reads and never writes: another system's, or a copy of one of its own."""

from typing import Any

from config import engine
from config.env import database


def read_only_database(alias: str, variable: str, copy_of: str | None = None) -> dict[str, Any]:
    """``database(alias, variable)``, whose sessions refuse to write.

    ``copy_of`` is the alias whose rows it has, a moment later; in tests both are one database, reached as the other is.
    Otherwise the tests have a database of their own, which they must be able to fill.
    """
    writable = database(alias, variable)
    return {
        **engine.read_only(writable),
        "READ_ONLY": True,
        "IN_TESTS": {"OPTIONS": writable["OPTIONS"]},
        "TEST": {**writable.get("TEST", {}), "MIRROR": copy_of},
    }
