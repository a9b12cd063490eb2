"""Whatever tables and rows an app has, and whoever writes meanwhile: both sides have the same in the end.

Hypothesis makes up tables, rows, what is written between the steps and when a run is killed. The profiles in
conftest.py say how long it searches.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as project_settings
from django.db import IntegrityError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic, set_rollback
from django.test.utils import isolate_apps
from hypothesis import given
from other_settings import dropped_afterwards, fresh_url
from random_tables import Row, Story, Table, Write, models_of, stories, through_of

from dbrouting.aliases import lent
from dbrouting.moving import steps
from dbrouting.moving.blocking import is_blocked
from dbrouting.moving.engines import engine_of
from dbrouting.moving.move import Move
from dbrouting.provisioning import create_database, drop_database, name_of, quoted

MadeModel = type[models.Model]
TwoDatabases = tuple[str, str, str]


class KilledError(BaseException):
    """What ends a run without any of its code noticing, but for what a database would roll back."""


class Site:
    """The application, which goes on writing, in a session of its own."""

    def __init__(self, alias: str, made: list[MadeModel], tables: list[Table]) -> None:
        self.alias = alias
        self.made = made
        self.tables = tables
        # The last key that a table has given out, and to what.
        self.last_added: dict[MadeModel, tuple[int, dict[str, Any]]] = {}

    def write(self, write: Write) -> None:
        """What is refused, for a value comes twice or a key is referred to, changes nothing."""
        with suppress(IntegrityError):
            getattr(self, f"_{write.verb}")(self.made[write.table], write)

    def _add(self, model: MadeModel, write: Write) -> None:
        added = self._create(model, self.values(model, write.row))
        for field in model._meta.local_many_to_many:
            through = through_of(field)
            ends = [end.attname for end in through._meta.local_fields if end.is_relation]
            other = self.key_of(field.related_model, write.row[field.name])
            if other is not None:
                self._create(through, dict(zip(ends, (added.pk, other), strict=True)))

    def _create(self, model: MadeModel, values: dict[str, Any]) -> models.Model:
        added = model._base_manager.using(self.alias).create(**values)
        if model._meta.auto_field:
            self.last_added[model] = (added.pk, values)
        return added

    def _change(self, model: MadeModel, write: Write) -> None:
        values = self.values(model, write.row)
        names = [name for name in values if not name.startswith("key_")]
        name = names[write.column % len(names)]
        self.chosen(model, write).update(**{name: values[name]})

    def _rekey(self, model: MadeModel, write: Write) -> None:
        keys = {name: value for name, value in write.row.items() if name.startswith("key_")}
        if keys:
            self.chosen(model, write).update(**keys)

    def _remove(self, model: MadeModel, write: Write) -> None:
        self.chosen(model, write).delete()

    def chosen(self, model: MadeModel, write: Write) -> "models.QuerySet[models.Model]":
        key = self.key_of(model, write.which)
        everything = model._base_manager.using(self.alias)
        return everything.none() if key is None else everything.filter(pk=key)

    def key_of(self, model: Any, number: int | None) -> Any:
        """That of one of the rows, if there are any."""
        keys = list(model._base_manager.using(self.alias).order_by("pk").values_list("pk", flat=True))
        return keys[number % len(keys)] if keys and number is not None else None

    def values(self, model: MadeModel, row: Row) -> dict[str, Any]:
        fields = {field.name: field for field in model._meta.local_fields}
        return {
            fields[name].attname: self.key_of(fields[name].related_model, value) if fields[name].is_relation else value
            for name, value in row.items()
            if name in fields
        }


@pytest.fixture(scope="module")
def two_databases(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any
) -> Iterator[TwoDatabases]:
    """Aliases of two that are empty, and one more of the first."""
    folder = tmp_path_factory.mktemp("random")
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        old, new = (
            stack.enter_context(dropped_afterwards(fresh_url("orders_db", n, folder))) for n in ("here", "there")
        )
        for connection in (old, new):
            drop_database(connection)
            create_database(connection)
        write_bytes_otherwise(new)
        yield old.alias, new.alias, stack.enter_context(lent(old.settings_dict))


def write_bytes_otherwise(connection: BaseDatabaseWrapper) -> None:
    """Where a server can be told to, so that what is compared as text is only the same if the move sees to it."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {quoted(connection, name_of(connection))} SET bytea_output = 'escape'")
        connection.close()


def test_whatever_an_app_has_is_the_same_on_both_sides_in_the_end(
    two_databases: tuple[str, str, str], db: None
) -> None:
    old, new, site = two_databases

    @given(stories(connections[old].vendor))
    def move(story: Story) -> None:
        with isolate_apps("billing"):
            made = models_of(story, connections[old].vendor)
            move = Move("billing", old, new, size_of_range=story.size_of_range)
            with patch.object(Move, "models", made):
                try:
                    make_tables(made, old, new)
                    tell_story(story, move, Site(site, made, story.tables))
                finally:
                    remove_tables(move)

    move()


def make_tables(made: list[MadeModel], *aliases: str) -> None:
    for alias in aliases:
        with connections[alias].schema_editor() as editor:
            for model in made:
                if not model._meta.auto_created:
                    editor.create_model(model)


def remove_tables(move: Move) -> None:
    for connection in (move.old, move.new):
        engine_of(connection).drop(connection, move.names, move.app_label)
    if move.ledger.is_open():
        move.ledger.close()


def tell_story(story: Story, move: Move, site: Site) -> None:
    for write in story.rows:
        site.write(write)
    structure = structure_of(move, move.source)
    batches = iter(story.writes)

    def write_meanwhile(message: str) -> None:
        if not is_blocked(move):
            for write in next(batches, []):
                site.write(write)

    for kill in story.kills:
        run_until(kill, move, write_meanwhile)
    if story.is_given_up:
        give_up(move, site)
    else:
        steps.move_rows(move, write_meanwhile)
        assert content_of(move, move.target) == content_of(move, move.source)
        assert structure_of(move, move.target) == structure
        switch(move, site)


def run_until(kill: int, move: Move, tell: Callable[[str], None]) -> None:
    """A run that is killed after so many signs of life, or comes to its end before."""
    signs = itertools.count(1)

    def notice(what: Any) -> None:
        if isinstance(what, str):
            tell(what)
        if next(signs) == kill:
            raise KilledError

    with suppress(KilledError):
        steps.move_rows(replace(move, progress=notice), notice)


def give_up(move: Move, site: Site) -> None:
    before = content_of(move, move.source)
    if move.ledger.is_open():
        steps.abort(move)
    assert content_of(move, move.source) == before
    assert not any(move.engine.is_blocked(move.old, name, move.app_label) for name in move.names)
    assert not any(content_of(move, move.target).values())
    assert structure_of(move, move.target) == structure_of(move, move.source)


def switch(move: Move, site: Site) -> None:
    before = content_of(move, move.target)
    with patch.dict(project_settings.DATABASE_APPS_MAPPING, billing=move.target):
        steps.drop_source(move)
    assert not set(move.names) & set(move.old.introspection.table_names(include_views=True))
    assert content_of(move, move.target) == before
    for model, (key, values) in site.last_added.items():
        assert next_key(move, model, values) > key


def content_of(move: Move, alias: str) -> dict[str, list[str]]:
    """As the database has it: Django reads JSON's null as it does none."""
    return {model._meta.db_table: sorted(rows_of(model, alias)) for model in move.models}


def rows_of(model: MadeModel, alias: str) -> Iterator[str]:
    connection = connections[alias]
    columns = ", ".join(quoted(connection, field.column) for field in model._meta.local_concrete_fields if field.column)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {quoted(connection, model._meta.db_table)}")
        for row in cursor.fetchall():
            yield repr([bytes(value) if isinstance(value, memoryview) else value for value in row])


def structure_of(move: Move, alias: str) -> dict[str, Any]:
    """Columns, keys, indexes and constraints, as the engine tells them."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        return {name: STRUCTURES[connection.vendor](cursor, name) for name in move.names}


def statements_of_table(cursor: CursorWrapper, name: str) -> Any:
    cursor.execute("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = %s AND type <> 'trigger'", [name])
    return sorted(cursor.fetchall())


def statement_of_table(cursor: CursorWrapper, name: str) -> Any:
    cursor.execute(f"SHOW CREATE TABLE {quoted(cursor.db, name)}")
    return re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1])


def parts_of_table(cursor: CursorWrapper, name: str) -> Any:
    cursor.execute(PARTS, {"name": quoted(cursor.db, name)})
    return cursor.fetchall()


# Of PostgreSQL, which has no statement for a table.
PARTS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull::text, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = %(name)s::regclass AND attnum > 0
    UNION ALL SELECT conname, contype::text, convalidated::text, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE conrelid = %(name)s::regclass
    UNION ALL SELECT indexrelid::regclass::text, indisvalid::text, indisunique::text, pg_get_indexdef(indexrelid)
        FROM pg_index WHERE indrelid = %(name)s::regclass
    ORDER BY 1, 2"""
STRUCTURES = {"sqlite": statements_of_table, "mysql": statement_of_table, "postgresql": parts_of_table}


def next_key(move: Move, model: MadeModel, values: dict[str, Any]) -> Any:
    """Without any row that could keep a key from coming again; all is there again afterwards."""
    with move.new.constraint_checks_disabled(), atomic(using=move.target), move.new.cursor() as cursor:
        cursor.execute(f"DELETE FROM {quoted(move.new, model._meta.db_table)}")
        key = model._base_manager.using(move.target).create(**values).pk
        set_rollback(True, using=move.target)
    return key
