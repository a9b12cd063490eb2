"""Looking into the database files behind the project's back, with no Django in between."""

import sqlite3
from contextlib import closing
from pathlib import Path


def sqlite_files(project: Path) -> list[Path]:
    return sorted(path for path in project.rglob("*") if path.is_file() and is_sqlite(path))


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def whole_content(path: Path) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return "\n".join(connection.iterdump())


def rows(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    """The rows of a query; a table the file does not have holds none."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def databases_in_env(project: Path) -> dict[str, Path]:
    """The SQLite file behind each variable of `.env` that is a database URL."""
    files = {}
    for line in (project / ".env").read_text("utf-8").splitlines():
        name, _, url = line.partition("=")
        if url.startswith("sqlite:///"):
            files[name] = (project / url.removeprefix("sqlite:///")).resolve()
    return files
