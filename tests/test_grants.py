"""`grant_sql` and an administrator: the site runs as a user that changes rows, and another one migrates.

The SQL is run as printed, by the servers' own clients. Who may do what is seen in sessions of the users themselves.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pymysql
import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import SERVER_FIXTURES
from processes import environment, manage, run
from servers import ADMIN, ADMIN_PASSWORD, Cluster, PostgreSQL, Server, program

pytestmark = pytest.mark.once

Fresh = Callable[..., Path]
ON_SERVERS = [combination for combination in COMBINATIONS if combination.database_engine != "sqlite"]
# What servers say to somebody who may not: PostgreSQL by a state, MySQL and MariaDB by numbers.
PLUGINS = Path(__file__).parent / "pytest_plugins"
REFUSALS = {"42501", 1044, 1045, 1142, 1370}
PASSWORD = "pass:word"


def of(topology: str) -> pytest.MarkDecorator:
    return variants([combination for combination in ON_SERVERS if combination.topology == topology])


@pytest.fixture
def cluster(request: pytest.FixtureRequest, combination: Combination) -> Iterator[Cluster]:
    """Servers that know nobody of the project; what a test makes there is removed."""
    cluster: Cluster = request.getfixturevalue(SERVER_FIXTURES[combination.database_engine])
    primary = cluster.primary
    databases, users = set(primary.databases()), set(users_of(primary))
    yield cluster
    for name in set(primary.databases()) - databases:
        primary.execute(f"DROP DATABASE {quoted(primary, name)}")
    made = [quoted(primary, user) for user in set(users_of(primary)) - users]
    for user in made if isinstance(primary, PostgreSQL) else ():
        primary.execute(f"DROP OWNED BY {user}", database="template1")
    primary.execute(f"DROP USER {', '.join(made)}")


def users_of(server: Server) -> list[str]:
    query = "SELECT rolname FROM pg_roles" if isinstance(server, PostgreSQL) else "SELECT DISTINCT user FROM mysql.user"
    return [user for (user,) in server.execute(query)]


def quoted(server: Server, name: str) -> str:
    mark = '"' if isinstance(server, PostgreSQL) else "`"
    return mark + name.replace(mark, mark * 2) + mark


class Administrator:
    """Runs what `grant_sql` prints, with the command that it prints."""

    def __init__(self, server: Server, folder: Path, user: str = ADMIN, password: str = ADMIN_PASSWORD) -> None:
        self.server = server
        self.folder = folder
        self.user = user
        self.password = password
        self.url = server.url(server.maintenance, user, password)

    def run(self, script: str, password: str = PASSWORD) -> str:
        """All the users that are missing get the same password."""
        return run(self.folder, "bash", "-euo", "pipefail", "-c", self.command(script, password), **self.variables())

    def fail(self, script: str) -> str:
        """What is said to who has forgotten the passwords."""
        command = ["bash", "-euo", "pipefail", "-c", self.command(script, "")]
        variables = environment(**self.variables())
        result = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=60)
        assert result.returncode != 0
        return result.stderr

    def command(self, script: str, password: str) -> str:
        lines = [line.removeprefix("--   ") for line in script.splitlines() if line.startswith("--   ")]
        command = next(line for line in lines if "grants.sql" in line)
        filled_in = [line.replace("...", password) for line in lines if password and "..." in line]
        (self.folder / "passwords.sql").write_text("\n".join(filled_in) + "\n", "utf-8")
        (self.folder / "grants.sql").write_text(script, "utf-8")
        return self.adapted(command)

    def adapted(self, command: str) -> str:
        """With this administrator's name, and a password that isn't asked for."""
        command = re.sub(r"--user(name)?=\w+", lambda option: f"--user{option[1] or ''}={self.user}", command)
        return command.replace(" --password", "").replace("| mysql", f"| {self.client()} --no-defaults")

    def client(self) -> Path:
        return program("mariadb", "install MariaDB's client")

    def variables(self) -> dict[str, str]:
        if isinstance(self.server, PostgreSQL):
            folder = str(self.server.binaries)
            return {"PGPASSWORD": self.password, "PATH": os.pathsep.join([folder, os.environ["PATH"]])}
        return {"MYSQL_PWD": self.password}


LIMITED = {
    "postgresql": ["CREATE ROLE limited LOGIN CREATEROLE CREATEDB PASSWORD 'word'"],
    "mysql": [
        "CREATE USER limited@'%' IDENTIFIED BY 'word'",
        "GRANT ALL ON *.* TO limited@'%' WITH GRANT OPTION",
        "REVOKE SUPER ON *.* FROM limited@'%'",
    ],
}


def limited_administrator(server: Server, combination: Combination, folder: Path) -> Administrator:
    """One who is no superuser: a cloud gives nobody such a one."""
    for statement in LIMITED[combination.database_engine]:
        server.execute(statement)
    return Administrator(server, folder, "limited", "word")


def attempt(server: Server, user: str, database: str, statement: str) -> str | int | None:
    """Run a statement as a user; gives the server's code for refusing it, or ``None``."""
    try:
        if isinstance(server, PostgreSQL):
            url = server.url(quote(database, safe=""), quote(user, safe=""), quote(PASSWORD, safe=""))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(statement)
        else:
            host, port = server.address.split(":")
            with pymysql.connect(
                host=host, port=int(port), user=user, password=PASSWORD, database=database, autocommit=True
            ) as connection:
                connection.cursor().execute(statement)
    except psycopg.OperationalError as error:  # refused when connecting: there is no code
        if "permission denied" in str(error):
            return "42501"
        raise
    except psycopg.Error as error:
        return error.sqlstate
    except pymysql.Error as error:
        return error.args[0]
    return None


def assert_allowed(server: Server, user: str, database: str, *statements: str) -> None:
    for statement in statements:
        assert attempt(server, user, database, statement) is None, statement


def assert_refused(server: Server, user: str, database: str, *statements: str) -> None:
    for statement in statements:
        assert attempt(server, user, database, statement) in REFUSALS, statement


# What the site's user must not be able to do, though it uses the table.
CHANGES = (
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE DATABASE mine",
    "CREATE INDEX mine ON {} (id)",
    "ALTER TABLE {} ADD COLUMN mine int",
    "TRUNCATE TABLE {}",
    "DROP TABLE {}",
)


def changes(table: str) -> list[str]:
    return [statement.format(table) for statement in CHANGES]


def run_suite(project: Path, *options: str, **variables: str) -> str:
    command = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reuse-db", *options)
    return run(project, *command, PYTHONPATH=str(PLUGINS), **variables)


def counted(output: str, what: str) -> int:
    return int((re.search(rf"(\d+) {what}", output) or [0, 0])[1])


WITHOUT_THOSE_THAT_MAKE_TABLES = tuple(
    f"--ignore=tests/{name}.py"
    for name in ("test_moving", "test_random_moves", "test_reference_targets", "test_tables_put_aside")
)
APP_SPLIT = {"DATABASE_URL": "default", "AUTH_DATABASE_URL": "auth", "ORDERS_DATABASE_URL": "orders"}
TABLES = {"default": "catalogue_product", "auth": "accounts_user", "orders": "orders_order"}


@of("app-split")
def test_a_site_and_its_suite_run_as_users_that_may_change_rows_only(
    fresh: Fresh, cluster: Cluster, combination: Combination, tmp_path: Path
) -> None:
    """On a new server, with a user for each database."""
    project, server = fresh(**combination._asdict()), cluster.primary
    site, migrator = (
        {variable: server.url(f"g_{name}", f"g_{name}{end}", PASSWORD) for variable, name in APP_SPLIT.items()}
        for end in ("", "_migrator")
    )

    Administrator(server, tmp_path).run(manage(project, "grant_sql", "--with-tests", **site))

    manage(project, "migrate", **migrator)
    manage(project, "seed_demo", **site)
    run_suite(project, "-k", "test_catalogue_lists_every_product", **migrator)  # makes the databases of the tests
    output = run_suite(project, "-p", "as_application", "-rs", *WITHOUT_THOSE_THAT_MAKE_TABLES, **site)
    assert counted(output, "passed") > 150, output
    assert counted(output, "skipped") + counted(output, "left out") < 0.15 * counted(output, "passed"), output
    for name, table in TABLES.items():
        assert_refused(server, f"g_{name}", f"g_{name}", *changes(table))
    for elsewhere in ("g_auth", "g_orders"):
        assert_refused(server, "g_default", elsewhere, "SELECT 1")


# What would end a name, if it were not quoted.
USER = "O'Hara \"`%s\\:x"
NAMES = {"DATABASE_URL": 'g"`%_default', "AUTH_DATABASE_URL": "g_auth", "ORDERS_DATABASE_URL": "g_orders"}
LATER = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("catalogue", "0001_initial")]
    operations = [
        migrations.AddField("product", "later", models.TextField(null=True)),
        migrations.CreateModel("Later", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())]),
    ]
"""
ON_ROWS = (
    "INSERT INTO catalogue_later (name) VALUES ('new')",
    "UPDATE catalogue_later SET name = 'newer'",
    "UPDATE catalogue_product SET later = 'filled in'",
    "DELETE FROM catalogue_later",
)


@of("app-split")
def test_a_bootstrapped_project_is_taken_over_by_a_migrator_whatever_the_names(
    fresh: Fresh, cluster: Cluster, combination: Combination, tmp_path: Path
) -> None:
    project, server = fresh(**combination._asdict()), cluster.primary
    administrator = limited_administrator(server, combination, tmp_path)
    site, migrator = (
        {
            variable: server.url(quote(name, safe=""), quote(user, safe=""), quote(PASSWORD, safe=""))
            for variable, name in NAMES.items()
        }
        for user in (USER, f"{USER}_migrator")
    )
    manage(project, "bootstrap", **site, DATABASE_ADMIN_URL=administrator.url)
    if combination.database_engine == "mysql":  # as people write it, where _ is any character
        server.execute(f"GRANT ALL ON g_auth.* TO {quoted(server, USER)}@'%'")

    script = manage(project, "grant_sql", **site)

    assert "_migrator_password" in administrator.fail(script)
    assert f"{USER}_migrator" not in users_of(server)
    administrator.run(script)
    (project / "catalogue" / "migrations" / "0002_later.py").write_text(LATER, "utf-8")
    manage(project, "migrate", **migrator)
    assert_allowed(server, USER, NAMES["DATABASE_URL"], *ON_ROWS)
    assert_refused(server, USER, NAMES["DATABASE_URL"], *changes("catalogue_product"), *changes("catalogue_later"))
    assert_refused(server, USER, NAMES["AUTH_DATABASE_URL"], *changes("accounts_user"))
    administrator.run(script, password="")
    assert_allowed(server, USER, NAMES["DATABASE_URL"], *ON_ROWS)
    if combination.database_engine == "postgresql":
        assert_refused(server, USER, NAMES["AUTH_DATABASE_URL"], "DELETE FROM django_migrations")


@of("primary-replica")
def test_replicas_are_read_by_a_user_that_may_not_write_anywhere(
    fresh: Fresh, cluster: Cluster, combination: Combination, tmp_path: Path
) -> None:
    project, server = fresh(**combination._asdict()), cluster.primary
    replicas = " ".join(replica.url("g_default", "g_reader", PASSWORD) for replica in cluster.replicas)
    site, migrator = (
        {"DATABASE_URL": server.url("g_default", user, PASSWORD), "REPLICA_URLS": replicas}
        for user in ("g", "g_migrator")
    )

    administrator = Administrator(server, tmp_path)
    administrator.run(manage(project, "grant_sql", **site))

    manage(project, "migrate", **migrator)
    manage(project, "seed_demo", **site)
    for replica in cluster.replicas:
        replica.catch_up()
    count = "from catalogue.models import Product; print(Product.objects.using('replica1').count())"
    assert int(manage(project, "shell", "-c", count, **site).split()[-1]) > 0
    assert_refused(server, "g", "g_default", *changes("catalogue_product"))
    writes = [*changes("catalogue_product"), "DELETE FROM orders_order"]
    if isinstance(server, PostgreSQL):
        assert attempt(server, "g_reader", "g_default", writes[-1]) == "25006"
        writes = [f"SET transaction_read_only = off; {write}" for write in writes if "DATABASE" not in write]
    assert_refused(server, "g_reader", "g_default", *writes)
    assert "let the site have another user" in administrator.fail(
        manage(project, "grant_sql", "--application", ADMIN, **site)
    )


@of("subdomain-tenant")
def test_tenants_that_were_there_are_taken_over_and_later_ones_need_no_administrator(
    fresh: Fresh, cluster: Cluster, combination: Combination, tmp_path: Path
) -> None:
    project, server = fresh(**combination._asdict()), cluster.primary
    administrator = limited_administrator(server, combination, tmp_path)
    site, migrator = (
        {"DATABASE_URL": server.url("g_default", user, PASSWORD), "TENANT_DATABASE_PREFIX": "g_t"}
        for user in ("g", "g_migrator")
    )
    manage(project, "bootstrap", "--no-demo", **site, DATABASE_ADMIN_URL=administrator.url)
    manage(project, "create_tenant", "acme", **site)
    administrator.run(manage(project, "grant_sql", **site))

    manage(project, "create_tenant", "initech", **migrator)

    manage(project, "seed_demo", **site)
    is_schema = combination.tenant_isolation == "schema"
    for tenant in ("g_t_acme", "g_t_initech"):
        database, table = ("g_default", f"{tenant}.catalogue_product") if is_schema else (tenant, "catalogue_product")
        create, create_temporary, *others = changes(table)
        assert_refused(server, "g", database, create, "CREATE SCHEMA mine", *others)
        if is_schema:
            assert_refused(server, "g", database, f"CREATE TABLE {tenant}.mine (id int)")
        if tenant == "g_t_initech" and combination[1:] == ("postgresql", "database"):
            # What PostgreSQL lets everybody do in a new database only its administrator can take away.
            assert_allowed(server, "g", database, create_temporary)
            administrator.run(manage(project, "grant_sql", **site))
        assert_refused(server, "g", database, create_temporary)
        assert_allowed(server, "g", database, f"UPDATE {table} SET stock = 0")
        assert_allowed(server, "g_migrator", database, f"ALTER TABLE {table} ADD COLUMN mine int")
