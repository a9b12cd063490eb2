"""One move: which app, from where, to where, and the tables that go along."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from dbrouting.moving.engines import Engine, engine_of
from dbrouting.moving.errors import MoveError
from dbrouting.moving.ledger import Ledger
from dbrouting.moving.ranges import Table
from dbrouting.routers import home_of


@dataclass
class Move:
    app_label: str
    source: str
    target: str
    size_of_range: int = 50_000
    # How many threads work at once, where that is of use.
    jobs: int = 2
    # What is told to whoever waits: so many rows are done.
    progress: Callable[[int], Any] = field(default=lambda rows: None)

    @property
    def old(self) -> BaseDatabaseWrapper:
        return connections[self.source]

    @property
    def new(self) -> BaseDatabaseWrapper:
        return connections[self.target]

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.target, self.app_label)

    @property
    def engine(self) -> Engine:
        return engine_of(self.old)

    @property
    def is_switched(self) -> bool:
        """Whether the map, as this process has it, puts the app on the target."""
        return home_of(self.app_label) == self.target

    @property
    def models(self) -> list[type[Model]]:
        """Those with a table of their own, those between two ends of a many-to-many relation too."""
        models = apps.get_app_config(self.app_label).get_models(include_auto_created=True)
        return [model for model in models if model._meta.managed and not model._meta.proxy]

    @property
    def names(self) -> list[str]:
        return [model._meta.db_table for model in self.models]

    @property
    def command(self) -> str:
        return f"python manage.py move_app {self.app_label} --to {self.target}"

    def tables(self) -> Iterator[Table]:
        """As they are on both sides; MoveError if rows would lose something on the way."""
        for model in self.models:
            name = model._meta.db_table
            here, there = self.engine.columns(self.old, name), self.engine.columns(self.new, name)
            if here.keys() != there.keys():
                raise MoveError(
                    f"{name} has other columns on {self.source!r} than on {self.target!r}: "
                    f"{', '.join(sorted(here.keys() ^ there.keys()))}. Let a migration make both alike, then run: "
                    f"{self.command}"
                )
            key = key_of(model)
            order = self.engine.order(self.old, self.new, name, key)
            row_digest = self.engine.row_digest(self.old, self.new, here, there)
            yield Table(name, here, key, order, row_digest, is_alike=here == there)

    @contextmanager
    def as_if_switched(self) -> Iterator[None]:
        """In the block the map says, in this process, what it will say."""
        before = settings.DATABASE_APPS_MAPPING
        settings.DATABASE_APPS_MAPPING = {**before, self.app_label: self.target}
        try:
            yield
        finally:
            settings.DATABASE_APPS_MAPPING = before

    def prepare_sessions(self) -> None:
        """Before each step: what changes tables switches checks on again when it is done."""
        for connection in (self.old, self.new):
            connection.ensure_connection()
            self.engine.prepare_session(connection)

    @contextmanager
    def sessions(self) -> Iterator[None]:
        """Sessions of the block's own: they end with it."""
        try:
            self.prepare_sessions()
            self.new.inc_thread_sharing()
            try:
                yield
            finally:
                self.new.dec_thread_sharing()
        finally:
            self.old.close()
            self.new.close()


def key_of(model: type[Model]) -> tuple[str, ...]:
    """The columns of the primary key, which may be several."""
    fields = getattr(model._meta, "pk_fields", [model._meta.pk])  # of Django 5.2 on
    return tuple(field.column for field in fields)
