"""Tenants' MySQL or MariaDB databases: a new one is made by the statements that describe a migrated one.

There is no copying of databases, and to repeat what ``migrate`` did would take as long: each ALTER TABLE builds its
table anew.
"""

import json
from collections.abc import Callable, Hashable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import create_database, drop_database
from tenants.copying import copy_rows
from tenants.dumping import columns_of, definition_of, selection, session_of, statements_for, tables_of
from tenants.kinds import Contents
from tenants.models import Blueprint

DATES = ("date", "datetime", "time", "timestamp")
# What SHOW CREATE TABLE doesn't show.
OTHERS = """
SELECT CONCAT('the trigger ', trigger_name), CONCAT_WS(' ', event_object_table, action_timing, event_manipulation,
        action_statement)
    FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL SELECT CONCAT('the view ', table_name), REPLACE(view_definition, DATABASE(), '')
    FROM information_schema.views WHERE table_schema = DATABASE()
UNION ALL SELECT CONCAT('the routine ', routine_name), CONCAT_WS(' ', routine_type, dtd_identifier, routine_definition)
    FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL SELECT CONCAT('the event ', event_name), event_definition
    FROM information_schema.events WHERE event_schema = DATABASE()
"""


class Databases:
    def make(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        found = Blueprint.objects.filter(fingerprint=fingerprint, refusal="").first()
        if found is None:
            return False
        run(connection, found.script)
        return True

    def has_blueprint(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        return Blueprint.objects.filter(fingerprint=fingerprint, refusal="").exists()

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        create_database(scratch)
        migrate(scratch)
        with session_of(scratch) as cursor:
            script = json.dumps([statement for name in tables_of(cursor) for statement in statements_for(cursor, name)])
        drop_database(scratch)
        run(scratch, script)
        return script

    def contents(self, connection: BaseDatabaseWrapper) -> Contents:
        found: dict[str, Hashable] = {}
        with session_of(connection) as cursor:
            cursor.execute(OTHERS)
            found.update(cursor.fetchall())
            for table in tables_of(cursor):
                found[f"the table {table}"] = definition_of(cursor, table)
                columns = {name: kind for name, kind in columns_of(cursor, table).items() if kind not in DATES}
                cursor.execute(selection(cursor, table, columns))
                found[f"a row of {table}"] = tuple(sorted(map(repr, cursor.fetchall())))
        return found

    def keep(self, scratch: BaseDatabaseWrapper, fingerprint: str, script: str) -> None:
        Blueprint.objects.create(fingerprint=fingerprint, script=script, refusal="")

    def remove_outdated(self, scratch: BaseDatabaseWrapper, fingerprint: str) -> None:
        """Nothing is left of them but rows."""

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        copy_rows(source, target, without)


def run(connection: BaseDatabaseWrapper, script: str) -> None:
    create_database(connection)
    with session_of(connection) as cursor:
        for statement in json.loads(script):
            cursor.execute(statement)
