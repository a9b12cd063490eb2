"""`bootstrap` and an administrator: on a server that knows nobody of the project, its users and databases are made."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pymysql
import pytest
from baking import Combination
from conftest import SERVER_FIXTURES, Bake
from processes import environment, manage
from servers import HOST, Cluster, PostgreSQL, Server

# What would end a name or a literal, if it were not quoted.
USER, PASSWORD = "o'hara \"`%s\\", 'it\'s "100%" `\\;--'
DATABASES = {"DATABASE_URL": 'p"`%_default', "AUTH_DATABASE_URL": "p_auth", "ORDERS_DATABASE_URL": "p_orders"}

pytestmark = pytest.mark.parametrize(
    "engine",
    [pytest.param(engine, marks=pytest.mark.xdist_group(f"admin-{engine}")) for engine in SERVER_FIXTURES],
)


@pytest.fixture
def server(request: pytest.FixtureRequest, engine: str) -> Iterator[Server]:
    cluster: Cluster = request.getfixturevalue(SERVER_FIXTURES[engine])
    before = set(cluster.primary.databases())
    yield cluster.primary
    for name in set(cluster.primary.databases()) - before:
        cluster.primary.execute(f"DROP DATABASE {quoted(cluster.primary, name)}")
    for user in (USER, "plain", "limited"):
        for account in accounts(cluster.primary, user):
            cluster.primary.execute(f"DROP USER {account}")


def quoted(server: Server, name: str) -> str:
    mark = '"' if isinstance(server, PostgreSQL) else "`"
    return mark + name.replace(mark, mark * 2) + mark


def accounts(server: Server, user: str) -> list[str]:
    """A user as DROP USER has it, once for each host it may come from."""
    if isinstance(server, PostgreSQL):
        return [
            quoted(server, name) for (name,) in server.execute("SELECT rolname FROM pg_roles WHERE rolname = %s", user)
        ]
    hosts = server.execute("SELECT host FROM mysql.user WHERE user = %s", user)
    return [f"{quoted(server, user)}@{quoted(server, host)}" for (host,) in hosts]


def urls(server: Server, user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {
        variable: server.url(quote(name, safe=""), quote(user, safe=""), quote(password, safe=""))
        for variable, name in DATABASES.items()
    }


def project_of(baked: Bake, engine: str, topology: str = "app-split") -> Path:
    return baked(Combination(topology, engine, "database"))


def failure(project: Path, **changes: str) -> str:
    result = subprocess.run(
        [sys.executable, "manage.py", "bootstrap"],
        cwd=project,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


def test_users_and_databases_are_made_whatever_their_names(baked: Bake, engine: str, server: Server) -> None:
    project = project_of(baked, engine)

    output = manage(project, "bootstrap", **urls(server), DATABASE_ADMIN_URL=server.admin_url)

    assert output.count(f"Created the user {USER}.") == 1
    assert output.count("Created the database") == 3
    assert set(DATABASES.values()) < set(server.databases())
    assert PASSWORD not in output
    again = manage(project, "bootstrap", **urls(server), DATABASE_ADMIN_URL=server.admin_url)
    assert "Created" not in again
    manage(project, "bootstrap", **urls(server), DATABASE_ADMIN_URL="")


def test_a_user_that_exists_keeps_its_password(baked: Bake, engine: str, server: Server) -> None:
    project = project_of(baked, engine)
    manage(project, "bootstrap", "--no-demo", **urls(server, "plain", "first"), DATABASE_ADMIN_URL=server.admin_url)

    output = failure(project, **urls(server, "plain", "second"), DATABASE_ADMIN_URL=server.admin_url)

    assert "'default' can't be reached" in output
    assert "`bootstrap` changes none" in output
    assert "'plain'" in output
    assert "second" not in output
    manage(project, "check", "--database", "default", **urls(server, "plain", "first"))


def test_without_an_administrator_the_error_names_user_and_database_and_the_next_command(
    baked: Bake, engine: str, server: Server
) -> None:
    output = failure(project_of(baked, engine), **urls(server, "plain", "hidden"), DATABASE_ADMIN_URL="")

    assert "user 'plain' is missing, or may not make the database" in output
    assert "DATABASE_URL" in output
    assert "DATABASE_ADMIN_URL=" in output.splitlines()[-1]
    assert output.splitlines()[-1].endswith(" python manage.py bootstrap")
    assert "hidden" not in output


def test_an_administrator_who_cannot_log_in_is_named(baked: Bake, engine: str, server: Server) -> None:
    wrong = server.url(server.maintenance, "nobody", "hidden")

    output = failure(project_of(baked, engine), **urls(server), DATABASE_ADMIN_URL=wrong)

    assert f"The administrator 'nobody' on {server.address}" in output
    assert "Mend DATABASE_ADMIN_URL" in output
    assert "hidden" not in output


LIMITED = {
    "postgresql": ["CREATE ROLE limited LOGIN CREATEROLE CREATEDB PASSWORD 'word'"],
    "mysql": [
        "CREATE USER limited@'%' IDENTIFIED BY 'word'",
        "GRANT ALL ON *.* TO limited@'%' WITH GRANT OPTION",
        "REVOKE SUPER ON *.* FROM limited@'%'",
    ],
}


def test_the_administrator_need_not_be_a_superuser(baked: Bake, engine: str, server: Server) -> None:
    """A cloud gives nobody such a one."""
    for statement in LIMITED[engine]:
        server.execute(statement)
    admin = server.url(server.maintenance, "limited", "word")

    output = manage(project_of(baked, engine), "bootstrap", **urls(server, "plain", "word"), DATABASE_ADMIN_URL=admin)

    assert "Created the user plain." in output


def test_users_of_another_server_are_left_alone(baked: Bake, engine: str, server: Server) -> None:
    elsewhere = server.admin_url.replace(HOST, "localhost")

    output = failure(project_of(baked, engine), **urls(server, "plain"), DATABASE_ADMIN_URL=elsewhere)

    assert "DATABASE_ADMIN_URL is for another server than DATABASE_URL" in output
    assert accounts(server, "plain") == []


def test_the_user_of_tenants_makes_their_databases_and_those_of_tests(baked: Bake, engine: str, server: Server) -> None:
    project = project_of(baked, engine, "subdomain-tenant")
    variables = {"DATABASE_URL": urls(server, "plain", "word")["AUTH_DATABASE_URL"], "TENANT_DATABASE_PREFIX": "p_t"}
    manage(project, "bootstrap", **variables, DATABASE_ADMIN_URL=server.admin_url)

    manage(project, "create_tenant", "initech", **variables, DATABASE_ADMIN_URL="")

    assert {"p_auth", "p_t_acme", "p_t_globex", "p_t_initech"} <= set(server.databases())
    connect = connecting(server, "plain", "word")
    for name in ("test_p_auth", "test_p_auth_gw0", "test_p_t_acme"):
        assert connect(f"CREATE DATABASE {name}") is None


def test_deployed_without_tenants_the_user_may_make_its_own_databases_only(
    baked: Bake, engine: str, server: Server
) -> None:
    deployed = {"DJANGO_DEBUG": "False", "DJANGO_ALLOWED_HOSTS": "example.com"}
    variables = urls(server, "plain", "word")
    manage(project_of(baked, engine), "bootstrap", **variables, **deployed, DATABASE_ADMIN_URL=server.admin_url)

    connect = connecting(server, "plain", "word")

    for name in ("test_p_auth", "pxauth", "other"):  # to GRANT, a bare _ is any character
        assert connect(f"CREATE DATABASE {name}") in {"42501", 1044}


def connecting(server: Server, user: str, password: str) -> Callable[[str], str | int | None]:
    """Runs a statement as a user; gives the server's code for refusing it."""

    def execute(statement: str) -> str | int | None:
        try:
            if isinstance(server, PostgreSQL):
                with psycopg.connect(server.url("p_auth", user, password), autocommit=True) as connection:
                    connection.execute(statement)
            else:
                account = {"host": HOST, "port": server.port, "user": user, "password": password}
                with pymysql.connect(**account) as connection, connection.cursor() as cursor:
                    cursor.execute(statement)
        except psycopg.Error as error:
            return error.sqlstate
        except pymysql.Error as error:
            return error.args[0]
        return None

    return execute
