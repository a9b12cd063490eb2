"""SQLite: what every connection of this project needs, and why. What a URL says wins over what is here."""

from pathlib import Path
from typing import Any

ENGINE = "django.db.backends.sqlite3"
EXAMPLE_URL = "sqlite:///data/shop.sqlite3"
EXAMPLE_ADMIN_URL = ""  # nobody logs in to a file
# For columns whose values must be told apart by their bytes.
EXACT_COLLATION = "BINARY"
TAKES_HOST_LISTS = False

SETTINGS: dict[str, Any] = {}  # opening a file costs next to nothing: no connection is kept
OPTIONS: dict[str, Any] = {
    # Wait for another writer instead of failing at once; seconds.
    "timeout": 20,
    # Take the write lock when a transaction begins: one that reads first and writes later can't wait for it.
    "transaction_mode": "IMMEDIATE",
    # Readers and a writer don't block each other. The mode stays in the file; NORMAL is durable enough with it.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
}
# For connections that only ask how the database is: don't wait for a writer so long; seconds.
IMPATIENT: dict[str, Any] = {"timeout": 5}
# Whether the server, or this session, refuses to write.
ASK_READ_ONLY = "PRAGMA query_only"
# Whether this is a copy that could go its own way: a file has no copies, only readers.
ASK_TAKES_WRITES = "SELECT 0"


def adapt(config: dict[str, Any], base_dir: Path) -> dict[str, Any]:
    """``config`` with its file relative to the project rather than to the current folder."""
    name = config["NAME"]
    path = name if name == ":memory:" else str(base_dir / name)
    return {**config, "NAME": path}


def read_only(config: dict[str, Any]) -> dict[str, Any]:
    """The same file, opened so that SQLite itself refuses to write."""
    # A read-only file can't change its journal mode, and has no write lock to take when a transaction begins.
    options = {key: value for key, value in config["OPTIONS"].items() if key != "transaction_mode"}
    options["init_command"] = "PRAGMA query_only=ON"  # for the databases of tests, which are no files
    return {**config, "NAME": f"{Path(config['NAME']).as_uri()}?mode=ro", "OPTIONS": options}


def with_name(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Another database beside this one: ``name.sqlite3`` in the same folder, which opening doesn't create."""
    beside = Path(config["NAME"]).with_name(f"{name}.sqlite3")
    return {**config, "NAME": f"{beside.absolute().as_uri()}?mode=rw"}
