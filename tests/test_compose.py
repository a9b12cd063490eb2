"""compose.yaml gives what `.env` points at. There is no Docker here: what it mounts is run on servers of our own."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest
from baking import COMBINATIONS, Combination
from composed import compose_of, composed
from conftest import Bake
from databases import variables_of
from processes import manage, run
from pymysql.cursors import DictCursor
from servers import HOST, Cluster, PostgreSQL, Server

WITH_SERVERS = [combination for combination in COMBINATIONS if combination.database_engine != "sqlite"]
REPLICATED = [combination for combination in WITH_SERVERS if combination.topology == "primary-replica"]
pytestmark = pytest.mark.once
with_servers = pytest.mark.parametrize("combination", WITH_SERVERS, ids=str)

# The file


def test_files_need_no_servers(project: Path, combination: Combination) -> None:
    assert (project / "compose.yaml").exists() == (combination.database_engine != "sqlite")


@with_servers
def test_it_is_valid(baked: Bake, combination: Combination) -> None:
    project = baked(combination)
    run(project, "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


@with_servers
def test_all_it_refers_to_is_there_and_used(baked: Bake, combination: Combination) -> None:
    project = baked(combination)
    compose = compose_of(project)
    volumes, files = set(), set()
    for service in compose["services"].values():
        for name, condition in service.get("depends_on", {}).items():
            assert name in compose["services"]
            assert condition == {"condition": "service_healthy"}
        for source in (mount.split(":")[0] for mount in service["volumes"]):
            (files if source.startswith("./") else volumes).add(source.removeprefix("./"))
    assert volumes == set(compose["volumes"])
    folder = project / "compose"
    assert files == {path.relative_to(project).as_posix() for path in folder.rglob("*")}
    assert all(os.access(project / name, os.X_OK) for name in files)


@with_servers
def test_each_server_has_a_volume_a_health_check_and_a_pinned_image(baked: Bake, combination: Combination) -> None:
    services = compose_of(baked(combination))["services"]
    own = [mount.split(":")[0] for service in services.values() for mount in service["volumes"] if mount[0] != "."]
    assert len(own) == len(set(own)) == len(services)
    for service in services.values():
        assert service["healthcheck"]["test"]
        assert re.search(r":\d+(\.\d+)?$", service["image"])


@with_servers
def test_its_ports_are_those_of_the_urls(baked: Bake, combination: Combination) -> None:
    """On this machine only: the passwords are known to all."""
    project = baked(combination)
    values = " ".join(variables_of(project).values()).split()
    named = {urlsplit(value).port for value in values if "://" in value}
    published = [port for service in compose_of(project)["services"].values() for port in service["ports"]]
    assert {port.split(":")[0] for port in published} == {HOST}
    assert {int(port.split(":")[1]) for port in published} == named


@with_servers
def test_its_administrator_is_that_of_env(baked: Bake, combination: Combination) -> None:
    project = baked(combination)
    admin = urlsplit(variables_of(project)["DATABASE_ADMIN_URL"])
    primary = next(iter(compose_of(project)["services"].values()))
    variable, user = {"postgresql": ("POSTGRES", "postgres"), "mysql": ("MARIADB_ROOT", "root")}[
        combination.database_engine
    ]
    assert primary["environment"][f"{variable}_PASSWORD"] == f"${{{variable}_PASSWORD:-{admin.password}}}"
    assert admin.username == user


# Its replicas


@pytest.fixture(
    params=[pytest.param(item, id=str(item), marks=pytest.mark.xdist_group(f"compose-{item}")) for item in REPLICATED],
    scope="module",
)
def replicated(request: pytest.FixtureRequest, baked: Bake) -> Iterator[tuple[Path, Cluster, dict[str, str]]]:
    """A project, the servers that its compose.yaml describes, and `.env` with their ports: bootstrapped."""
    project = baked(request.param)
    with composed(project, REPLICA2_DELAY="1s" if request.param.database_engine == "postgresql" else "1") as cluster:
        ports = dict(
            zip(published_ports(project), (cluster.primary.port, *(r.port for r in cluster.replicas)), strict=True)
        )
        environment = {
            name: re.sub(r":(\d+)/", lambda port: f":{ports[int(port[1])]}/", value).replace("localhost", HOST)
            for name, value in variables_of(project).items()
            if "://" in value
        }
        manage(project, "bootstrap", **environment)
        for replica in cluster.replicas:
            replica.catch_up()
        yield project, cluster, environment


Replicated = tuple[Path, Cluster, dict[str, str]]
COUNT = "SELECT count(*) FROM catalogue_product"


def published_ports(project: Path) -> list[int]:
    return [int(service["ports"][0].split(":")[1]) for service in compose_of(project)["services"].values()]


def database_of(environment: dict[str, str]) -> str:
    return urlsplit(environment["DATABASE_URL"]).path.removeprefix("/")


def test_what_bootstrap_writes_reaches_the_replicas(replicated: Replicated) -> None:
    _, cluster, environment = replicated
    counts = [
        server.execute(COUNT, database=database_of(environment)) for server in (cluster.primary, *cluster.replicas)
    ]
    assert counts[0] != [(0,)]
    assert counts == counts[:1] * 3


def test_bootstrap_makes_nothing_the_second_time(replicated: Replicated) -> None:
    project, _, environment = replicated
    output = manage(project, "bootstrap", **environment)
    assert "Created" not in output
    assert "may make" not in output


def test_the_project_reads_its_replicas_and_cannot_write_there(replicated: Replicated) -> None:
    """By the server's refusal: the project's own, in Python and by its sessions, are tested in its suite."""
    project, _, environment = replicated
    script = """
import re
from django.db import DatabaseError, connections
for alias in ("replica1", "replica2"):
    connection = connections[alias]
    connection.settings_dict["OPTIONS"].pop("init_command", None)
    connection.settings_dict["OPTIONS"].pop("options", None)
    connection.ensure_connection()
    connection.execute_wrappers.clear()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM catalogue_product")
        try:
            cursor.execute("DELETE FROM orders_order")
        except DatabaseError as error:
            print(alias, "refused:", error)
"""
    output = manage(project, "shell", "--no-imports", "-c", script, **environment)
    assert re.search(r"replica1 refused: .*read.only", output)
    assert re.search(r"replica2 refused: .*read.only", output)


def test_the_second_replica_applies_late_if_told_to(replicated: Replicated) -> None:
    _, cluster, _ = replicated
    assert [delay_of(replica) for replica in cluster.replicas] == [0, 1]


def delay_of(server: Server) -> int:
    """Seconds."""
    if isinstance(server, PostgreSQL):
        [(delay,)] = server.execute("SELECT current_setting('recovery_min_apply_delay')")
        return int(delay.removesuffix("s"))
    url = urlsplit(server.url("", "root", server.root_password))
    account = {"host": url.hostname, "port": url.port, "user": url.username, "password": url.password}
    with closing(pymysql.connect(**account, cursorclass=DictCursor)) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW SLAVE STATUS")
        return cursor.fetchone()["SQL_Delay"]


def test_a_replica_goes_on_where_it_stopped(replicated: Replicated) -> None:
    _, cluster, environment = replicated
    database = database_of(environment)
    replica = cluster.replicas[0]
    replica.kill()
    cluster.primary.execute("UPDATE catalogue_product SET stock = 77", database=database)
    replica.start()
    replica.catch_up()
    assert replica.execute("SELECT DISTINCT stock FROM catalogue_product", database=database) == [(77,)]


def test_a_replica_that_lost_its_volume_is_made_again(replicated: Replicated) -> None:
    _, cluster, environment = replicated
    replica = cluster.replicas[0]
    replica.kill()
    replica.keeper.run("rm", "-rf", replica.data)
    replica.create()
    replica.catch_up()
    database = database_of(environment)
    assert replica.execute(COUNT, database=database) == cluster.primary.execute(COUNT, database=database)
