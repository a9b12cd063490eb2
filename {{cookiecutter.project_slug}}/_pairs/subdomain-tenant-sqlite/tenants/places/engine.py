"""Tenants' files: a new one is the copy of a template, and a live one is copied by SQLite itself."""

import re
import shutil
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from config import databases
from dbrouting.provisioning import create_database, quoted, sqlite_path
from tenants.places.fingerprints import LENGTH
from tenants.places.kinds import Contents


class Databases:
    def make(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        try:
            template = template_file(connection, fingerprint).open("rb")
        except FileNotFoundError:
            return False
        with template, sqlite_path(connection).open("xb") as file:
            shutil.copyfileobj(template, file, 1 << 20)
        return True

    def has_blueprint(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        return template_file(connection, fingerprint).exists()

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        create_database(scratch)
        migrate(scratch)
        return ""

    def contents(self, connection: BaseDatabaseWrapper) -> Contents:
        found: dict[str, Hashable] = {}
        with connection.cursor() as cursor:
            cursor.execute("SELECT type, name, sql FROM sqlite_master")
            for kind, name, definition in cursor.fetchall():
                found[f"the {kind} {name}"] = definition
                if kind == "table":
                    columns = ", ".join(quoted(connection, column) for column in columns_without_dates(cursor, name))
                    cursor.execute(f"SELECT {columns or 'NULL'} FROM {quoted(connection, name)}")
                    found[f"a row of {name}"] = tuple(sorted(map(repr, cursor.fetchall())))
        return found

    def keep(self, scratch: BaseDatabaseWrapper, fingerprint: str, script: str) -> None:
        with scratch.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a copy of the file alone must be all
        scratch.close()
        sqlite_path(scratch).replace(template_file(scratch, fingerprint))

    def remove_outdated(self, scratch: BaseDatabaseWrapper, fingerprint: str) -> None:
        current = template_file(scratch, fingerprint)
        any_template = re.compile(rf"{re.escape(template_name(''))}[0-9a-f]{{{LENGTH}}}\.sqlite3")
        for file in current.parent.iterdir():
            if any_template.fullmatch(file.name) and file != current:
                file.unlink(missing_ok=True)

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        """Page by page, in one transaction: writers go on in the log beside the file. What is left out is wiped too."""
        with source.cursor(), target.cursor() as cursor:  # both stay open, as none would that nobody uses
            source.connection.backup(target.connection)
            cursor.execute("PRAGMA secure_delete = ON")
            for table in without:
                cursor.execute(f"DELETE FROM {quoted(target, table)}")
        target.close()


def template_name(fingerprint: str) -> str:
    return f"{databases.TENANT_DATABASE_PREFIX}__template_{fingerprint}"


def template_file(connection: BaseDatabaseWrapper, fingerprint: str) -> Path:
    """Nobody connects to it: no alias leads there."""
    return sqlite_path(connection).with_name(f"{template_name(fingerprint)}.sqlite3")


def columns_without_dates(cursor: CursorWrapper, table: str) -> list[str]:
    cursor.execute("SELECT name, type FROM pragma_table_xinfo(%s)", [table])
    return [name for name, kind in cursor.fetchall() if not kind.lower().startswith(("date", "time"))]
