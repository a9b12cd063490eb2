"""Tenants' MySQL or MariaDB databases: a new one is made by the statements that describe a migrated one.

There is no copying of databases, and to repeat what ``migrate`` did would take as long: each ALTER TABLE builds its
table anew.
"""

import json
from collections.abc import Callable, Hashable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import create_database
from tenants.places.copying import copy_rows
from tenants.places.dumping import columns_of, definition_of, selection, session_of, statements_for, tables_of
from tenants.places.kinds import Contents, Scripted

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


class Databases(Scripted):
    def run(self, connection: BaseDatabaseWrapper, script: str) -> None:
        create_database(connection)
        with session_of(connection) as cursor:
            for statement in json.loads(script):
                cursor.execute(statement)

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        create_database(scratch)
        migrate(scratch)
        with session_of(scratch) as cursor:
            script = [statement for table in tables_of(cursor) for statement in statements_for(cursor, table)]
        return self.rehearse(scratch, json.dumps(script))

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

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        copy_rows(source, target, without)
