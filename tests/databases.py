"""The databases behind a baked project: where they are, and what is in them, seen without any Django in between."""

import hashlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import pymysql
from baking import Combination
from psycopg.rows import dict_row
from pymysql.cursors import DictCursor
from servers import HOST, PASSWORD, USER, Cluster, MariaDB, PostgreSQL, Server

Rows = list[dict[str, Any]]


class Place(NamedTuple):
    """Where tables are: a file, a database on a server, or a schema of one."""

    database: str
    schema: str = ""

    @property
    def name(self) -> str:
        return self.schema if self.schema not in {"", "public"} else Path(self.database).name


class Databases(ABC):
    """All the databases of one project."""

    # What the project's processes must find in their environment; `.env` says the rest.
    environment: dict[str, str]

    @abstractmethod
    def places(self) -> Iterable[Place]:
        """All that hold tables."""

    @abstractmethod
    def tables(self, place: Place) -> list[str]: ...

    @abstractmethod
    def fetch(self, place: Place, query: str, *values: object) -> Rows: ...

    @abstractmethod
    def place_of(self, variable: str) -> Place:
        """The one that the URL in a variable names."""

    def rows(self, place: Place, table: str, condition: str = "", *values: object) -> Rows:
        """What a table holds; one that is not there holds nothing."""
        return self.fetch(place, f"SELECT * FROM {table} {condition}", *values) if table in self.tables(place) else []

    def digests(self) -> dict[str, str]:
        """What the rows of each add up to."""
        return {place.name: hashlib.sha256(repr(self.content(place)).encode()).hexdigest() for place in self.places()}

    def content(self, place: Place) -> dict[str, list[str]]:
        return {table: sorted(map(repr, self.rows(place, table))) for table in sorted(self.tables(place))}

    def sessions(self) -> int:
        """How many are open on servers."""
        return 0

    # Whether there are replicas that are servers of their own.
    replicate: bool = False

    @contextmanager
    def replicas_paused(self) -> Iterator[None]:
        """While they get nothing new, if there are any."""
        yield

    @abstractmethod
    def catch_up(self) -> None:
        """Return when the replicas have all that is on the primary."""


class SQLiteFiles(Databases):
    def __init__(self, project: Path) -> None:
        self.project = project
        self.environment = {}

    def places(self) -> Iterator[Place]:
        for path in sorted(self.project.rglob("*")):
            if path.is_file() and is_sqlite(path):
                yield Place(str(path))

    def tables(self, place: Place) -> list[str]:
        return [row["name"] for row in self.fetch(place, "SELECT name FROM sqlite_master WHERE type = 'table'")]

    def fetch(self, place: Place, query: str, *values: object) -> Rows:
        with closing(sqlite3.connect(f"file:{place.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query.replace("%s", "?"), values)]

    def place_of(self, variable: str) -> Place:
        url = variables_of(self.project)[variable]
        return Place(str((self.project / url.removeprefix("sqlite:///")).resolve()))

    def catch_up(self) -> None:
        """A replica is the same file."""


class OnServers(Databases):
    """Databases of this project's own, though others of the same slug are on the same server."""

    def __init__(self, project: Path, combination: Combination, cluster: Cluster, label: str) -> None:
        self.cluster = cluster
        self.label = label + "".join(word[0] for word in str(combination).split("-"))  # app-split-mysql-…: "asm…"
        variables = variables_of(project)
        self.environment = {name: self._url(url, cluster.primary) for name, url in variables.items() if is_url(url)}
        self.environment["DATABASE_ADMIN_URL"] = cluster.primary.admin_url
        if "REPLICA_URLS" in variables:
            url, *_ = variables["REPLICA_URLS"].split()
            self.environment["REPLICA_URLS"] = " ".join(self._url(url, replica) for replica in cluster.replicas)
        if "TENANT_DATABASE_PREFIX" in (project / ".env").read_text("utf-8"):
            self.environment["TENANT_DATABASE_PREFIX"] = f"{self.label}_tenant"

    def _url(self, url: str, server: Server) -> str:
        return server.url(f"{self.label}_{urlsplit(url).path.removeprefix('/')}")

    def _column(self, query: str) -> list[str]:
        return [value for (value,) in self.cluster.primary.execute(query)]

    def is_own(self, name: str) -> bool:
        return name.startswith(f"{self.label}_")

    def place_of(self, variable: str) -> Place:
        database = urlsplit(self.environment[variable]).path.removeprefix("/")
        return next(place for place in self.places() if place.database == database and place.schema in {"", "public"})

    @property
    def replicate(self) -> bool:
        return "REPLICA_URLS" in self.environment

    @contextmanager
    def replicas_paused(self) -> Iterator[None]:
        for replica in self.cluster.replicas:
            replica.pause()
        try:
            yield
        finally:
            for replica in self.cluster.replicas:
                replica.resume()

    def catch_up(self) -> None:
        if self.replicate:
            for replica in self.cluster.replicas:
                replica.catch_up()


class OnPostgreSQL(OnServers):
    def sessions(self) -> int:
        query = "SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL"
        return sum(map(self.is_own, self._column(query)))

    def places(self) -> Iterator[Place]:
        # Tenants' databases are copied from one that nobody can connect to.
        for name in self._column("SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname"):
            if self.is_own(name):
                for (schema,) in self.cluster.primary.execute(
                    "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN "
                    "('pg_catalog', 'information_schema') ORDER BY 1",
                    database=name,
                ):
                    yield Place(name, schema)

    def tables(self, place: Place) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
        return [row["tablename"] for row in self.fetch(place, query, place.schema)]

    def fetch(self, place: Place, query: str, *values: object) -> Rows:
        url = self.cluster.primary.url(place.database)
        with psycopg.connect(url, options=f"-c search_path={place.schema}", row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()


class OnMariaDB(OnServers):
    def sessions(self) -> int:
        query = "SELECT db FROM information_schema.processlist WHERE db IS NOT NULL"
        return sum(map(self.is_own, self._column(query)))

    def places(self) -> Iterator[Place]:
        for name in self.cluster.primary.databases():
            if self.is_own(name):
                yield Place(name)

    def tables(self, place: Place) -> list[str]:
        query = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s"
        return [row["name"] for row in self.fetch(place, query, place.database)]

    def fetch(self, place: Place, query: str, *values: object) -> Rows:
        account = {"host": HOST, "port": self.cluster.primary.port, "user": USER, "password": PASSWORD}
        with closing(pymysql.connect(**account, database=place.database, cursorclass=DictCursor)) as connection:
            cursor = connection.cursor()
            cursor.execute(query, values or None)
            return list(cursor.fetchall())


def databases_of(project: Path, combination: Combination, cluster: Cluster | None, label: str = "") -> Databases:
    """With another ``label``, others on the same servers."""
    match cluster and cluster.primary:
        case PostgreSQL():
            return OnPostgreSQL(project, combination, cluster, label)
        case MariaDB():
            return OnMariaDB(project, combination, cluster, label)
    return SQLiteFiles(project)


def variables_of(project: Path) -> dict[str, str]:
    """What `.env` sets."""
    lines = (line.partition("=") for line in (project / ".env").read_text("utf-8").splitlines())
    return {name: value.strip('"') for name, equals, value in lines if equals and not name.startswith("#")}


def is_url(value: str) -> bool:
    return "://" in value


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
