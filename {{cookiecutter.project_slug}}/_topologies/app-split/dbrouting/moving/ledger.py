"""How far a move is: lines in a table of the new database, which commit together with the rows that they tell of."""

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from django.apps.registry import Apps
from django.db import connections, models

from dbrouting.moving.ranges import Range


class Step(StrEnum):
    """What is done, in this order; a move that has come to one of the last two can only be ended."""

    BEGUN = "begun"
    PREPARED = "prepared"
    WATCHED = "watched"
    COPIED = "copied"
    INDEXED = "indexed"
    BLOCKED = "blocked"
    FINISHED = "finished"
    DROPPING = "dropping"
    ABORTING = "aborting"

    def is_before(self, other: "Step") -> bool:
        steps = list(Step)
        return steps.index(self) < steps.index(other)


class Line(models.Model):
    """Of no app that is installed: the ledger makes its table, and removes it in the end."""

    app = models.CharField(max_length=100)
    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=100)
    number = models.IntegerField(default=0)
    content = models.TextField()

    class Meta:
        apps = Apps()
        app_label = "dbrouting"
        db_table = "dbrouting_moves"

    def __str__(self) -> str:
        return f"{self.app}: {self.kind} {self.name} {self.number}"


class Ledger:
    """The lines about one app."""

    def __init__(self, alias: str, app_label: str) -> None:
        self.alias = alias
        self.app_label = app_label

    @property
    def _lines(self) -> "models.QuerySet[Line]":
        return Line._base_manager.using(self.alias).filter(app=self.app_label)

    def is_open(self) -> bool:
        return has_table(self.alias) and self._lines.filter(kind="move").exists()

    def open(self, **facts: Any) -> None:
        connection = connections[self.alias]
        if not has_table(self.alias):
            with connection.schema_editor() as editor:
                editor.create_model(Line)
        self._add("move", content={"step": Step.BEGUN, **facts})

    def close(self) -> None:
        if Line._base_manager.using(self.alias).exclude(app=self.app_label).exists():
            self._lines.delete()
        else:
            with connections[self.alias].schema_editor() as editor:
                editor.delete_model(Line)

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self._lines.get(kind="move").content)
        return facts

    @property
    def step(self) -> Step:
        return Step(self.facts["step"])

    def reach(self, step: Step, **facts: Any) -> None:
        self._lines.filter(kind="move").update(content=json.dumps({**self.facts, "step": step, **facts}))

    def note(self, **facts: Any) -> None:
        self.reach(self.step, **facts)

    def add_range(self, span: Range) -> None:
        self._add("range", span.table, span.number, contents_of(span))

    def update_range(self, span: Range) -> None:
        line = self._lines.filter(kind="range", name=span.table, number=span.number)
        line.update(content=json.dumps(contents_of(span)))

    def distrust(self, table: str, numbers: Iterable[int] | None = None, *, recopy: bool = False) -> None:
        """Ranges, or all of them, are no longer known to be the same on both sides."""
        for span in self.ranges(table, numbers):
            if span.digest or recopy:
                span.digest, span.rows = "", None if recopy else span.rows
                self.update_range(span)

    def ranges(self, table: str, numbers: Iterable[int] | None = None) -> Iterator[Range]:
        lines = self._lines.filter(kind="range", name=table)
        for line in (lines if numbers is None else lines.filter(number__in=list(numbers))).order_by("number"):
            content = json.loads(line.content)
            lower, upper = (content[name] and tuple(content[name]) for name in ("lower", "upper"))
            yield Range(table, line.number, lower, upper, content["rows"], content["digest"])

    def add_definitions(self, definitions: Iterable[tuple[str, int, str]]) -> None:
        for name, rank, statement in definitions:
            self._add("definition", name, rank, statement)

    def definitions(self, rank: int) -> Iterator[tuple[str, "models.QuerySet[Line]"]]:
        """Statements that make what was taken off a table, in the order to make it in, each with its line."""
        for line in self._lines.filter(kind="definition", number=rank).order_by("pk"):
            yield json.loads(line.content), self._lines.filter(pk=line.pk)

    def _add(self, kind: str, name: str = "", number: int = 0, content: Any = None) -> None:
        line = Line(app=self.app_label, kind=kind, name=name, number=number, content=json.dumps(content))
        Line._base_manager.using(self.alias).bulk_create([line])  # no signal tells anybody


def contents_of(span: Range) -> dict[str, Any]:
    return {"lower": span.lower, "upper": span.upper, "rows": span.rows, "digest": span.digest}


def has_table(alias: str) -> bool:
    return Line._meta.db_table in connections[alias].introspection.table_names()
