"""The servers of a project's compose.yaml without Docker: its scripts and options, on the binaries that are here."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from keeper import Keeper
from servers import HOST, Cluster, MariaDB, MariaDBReplica, PostgreSQL, Standby, kept_folder, postgresql_binaries

Service = dict[str, Any]


def compose_of(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / "compose.yaml").read_text("utf-8"))


class Composed:
    """What a service says, with the variables filled in, and the script that it mounts where servers can read it."""

    def __init__(self, keeper: Keeper, project: Path, name: str, variables: dict[str, str]) -> None:
        service = compose_of(project)["services"][name]
        self.options = [interpolated(word, variables) for word in service["command"] if word != "postgres"]
        self.environment = {key: interpolated(str(value), variables) for key, value in service["environment"].items()}
        (source,) = (mount.split(":")[0] for mount in service["volumes"] if mount.startswith("./"))
        self.script = Path(shutil.copy(project / source, keeper.folder / f"{name}.sh"))
        self.script.chmod(0o755)


def interpolated(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+):-(\w+)\}", lambda found: variables.get(found[1], found[2]), text)


class ComposedPrimary(PostgreSQL):
    """A new folder as the image leaves it, and then the script that the image runs."""

    def __init__(self, keeper: Keeper, composed: Composed) -> None:
        super().__init__(keeper, "primary", postgresql_binaries())
        self.composed = composed

    def create(self) -> None:
        super().create()
        self.execute("CREATE ROLE postgres SUPERUSER LOGIN")
        self.execute(f"ALTER ROLE postgres PASSWORD '{self.composed.environment['POSTGRES_PASSWORD']}'")
        places = {"PGHOST": self.keeper.folder, "PGPORT": self.port, "PGDATA": self.data, "PGDATABASE": "postgres"}
        path = f"{self.binaries}:{os.environ['PATH']}"
        environment = {
            **self.composed.environment,
            **{name: str(place) for name, place in places.items()},
            "PATH": path,
        }
        self.keeper.run(self.composed.script, environment=environment)
        self.kill()
        self.start()

    def command(self) -> list[object]:
        return [*super().command(), *self.composed.options]


class ComposedStandby(Standby):
    """Started by the script that is the service's entrypoint, in a folder that is there and empty."""

    def __init__(self, primary: PostgreSQL, name: str, composed: Composed) -> None:
        super().__init__(primary, name)
        self.composed = composed

    def create(self) -> None:
        self.keeper.run("mkdir", "--mode=755", self.data)
        self.start()

    def command(self) -> list[object]:
        primary = self.composed.environment["PRIMARY"].replace(
            "host=primary port=5432", f"host={HOST} port={self.primary.port}"
        )
        path = f"{self.binaries}:{os.environ['PATH']}"
        environment = {**self.composed.environment, "PRIMARY": primary, "PGDATA": self.data, "PATH": path}
        assignments = [f"{name}={value}" for name, value in environment.items()]
        return ["env", *assignments, "sh", self.composed.script, *super().command(), *self.composed.options]

    def settings(self) -> dict[str, object]:
        return {}


class ComposedMariaDB(MariaDB):
    """A new folder as the image leaves it: root has a password, and logs in from anywhere. Then the image's script."""

    composed: Composed

    def create(self) -> None:
        self.root_password = ""
        MariaDB.create(self)
        password = self.composed.environment["MARIADB_ROOT_PASSWORD"]
        self.execute("DROP USER IF EXISTS root@'127.0.0.1'")
        self.execute(f"CREATE USER root@'%' IDENTIFIED BY '{password}'")
        self.execute("GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION")
        self.execute(f"ALTER USER root@localhost IDENTIFIED BY '{password}'")
        self.root_password = password
        home = self.keeper.folder / f"{self.name}-home"  # where the client looks last for what to connect to
        home.mkdir(exist_ok=True)
        (home / ".my.cnf").write_text(f"[client]\nsocket = {self.socket}\n", "utf-8")
        environment = {**self.composed.environment, **self.where(), "HOME": str(home)}
        self.keeper.run(self.composed.script, environment=environment)
        self.kill()
        self.start()

    def where(self) -> dict[str, str]:
        return {}

    def command(self) -> list[object]:
        """The options of replication are the file's, all of them."""
        ours = ("--server-id=", "--log-bin=", "--binlog-format=", "--gtid-strict-mode=", "--read-only=")
        return [*(word for word in super().command() if not str(word).startswith(ours)), *self.composed.options]


class ComposedReplica(ComposedMariaDB, MariaDBReplica):
    def where(self) -> dict[str, str]:
        assert self.composed.environment["PRIMARY_HOST"] == "primary"
        return {"PRIMARY_HOST": HOST, "PRIMARY_PORT": str(self.primary.port)}


@contextlib.contextmanager
def composed(project: Path, **variables: str) -> Iterator[Cluster]:
    """The servers of `docker compose up`, where the primary is there before its replicas."""
    primary_name, *names = compose_of(project)["services"]
    with kept_folder() as keeper:
        start = (
            composed_postgresql
            if "postgres" in compose_of(project)["services"][primary_name]["image"]
            else composed_mariadb
        )
        services = {name: Composed(keeper, project, name, variables) for name in (primary_name, *names)}
        cluster = start(keeper, services)
        for server in (cluster.primary, *cluster.replicas):
            server.create()
        yield cluster


def composed_postgresql(keeper: Keeper, services: dict[str, Composed]) -> Cluster:
    first, *others = services
    primary = ComposedPrimary(keeper, services[first])
    return Cluster(primary, [ComposedStandby(primary, name, services[name]) for name in others])


def composed_mariadb(keeper: Keeper, services: dict[str, Composed]) -> Cluster:
    first, *others = services
    primary = ComposedMariaDB(keeper, first, server_id=1)
    replicas = [ComposedReplica(primary, name, server_id=number) for number, name in enumerate(others, start=2)]
    for server in (primary, *replicas):
        server.composed = services[server.name]
    return Cluster(primary, replicas)
