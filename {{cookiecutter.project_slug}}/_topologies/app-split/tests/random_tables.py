"""Tables, rows and writes that Hypothesis makes up: all that Django lets a model have, on any engine."""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Literal, NamedTuple

from django.db import models
from hypothesis import strategies as st

# What a row has for each of its fields; for a reference which of the rows there it refers to, counted in their order.
Row = dict[str, Any]

UTC = st.just(datetime.UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["", " ", "a ", "A", "ä", "é", "\\N", "\\", "%s", "it's", '"', "`", "\t\r\n", "🙂", "null"]
)
# Close to each other, and longer than a float remembers.
NUMBERS = st.integers(-9, 9).map(lambda n: Decimal("12345678901234567890.0000000001") + Decimal(n) / 10**10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
NAMES = ("", "select", "Upper Case", "it's", "ünï", "a.b", "semi;colon")
CASES: dict[str, str] = {"postgresql": "`", "mysql": '"', "sqlite": "`"}


class Kind(NamedTuple):
    """A type of column."""

    field: Callable[..., "models.Field[Any, Any]"]
    values: st.SearchStrategy[Any]
    is_indexable: bool = True
    is_key: bool = False
    options: dict[str, Any] = {}


def whole(bits: int, least: int | None = None) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)) if least is None else least, 2 ** (bits - 1) - 1)


@cache
def kinds(vendor: str) -> dict[str, Kind]:
    floats = {"postgresql": st.floats(), "sqlite": st.floats(allow_nan=False)}
    return {
        "boolean": Kind(models.BooleanField, st.booleans()),
        "small": Kind(models.SmallIntegerField, whole(16), is_key=True),
        "integer": Kind(models.IntegerField, whole(32), is_key=True),
        "big": Kind(models.BigIntegerField, whole(64), is_key=True),
        "positive": Kind(models.PositiveIntegerField, whole(32, least=0)),
        "positive big": Kind(models.PositiveBigIntegerField, whole(64, least=0)),
        "float": Kind(models.FloatField, floats.get(vendor, st.floats(allow_nan=False, allow_infinity=False))),
        "decimal": Kind(models.DecimalField, NUMBERS, is_key=True, options={"max_digits": 40, "decimal_places": 10}),
        "char": Kind(models.CharField, TEXTS, is_key=True, options={"max_length": 20}),
        "slug": Kind(models.SlugField, st.from_regex(r"[a-zA-Z0-9_-]{0,8}", fullmatch=True)),
        "text": Kind(models.TextField, TEXTS, is_indexable=False),
        "binary": Kind(
            models.BinaryField, st.binary(max_size=20), is_indexable=False, is_key=vendor != "mysql"
        ),  # MySQL has no index of a whole one
        "uuid": Kind(models.UUIDField, st.uuids(version=4), is_key=True),
        "date": Kind(models.DateField, st.dates(), is_key=True),
        "time": Kind(models.TimeField, st.times()),
        "moment": Kind(models.DateTimeField, st.datetimes(timezones=UTC), is_key=True),
        "duration": Kind(
            models.DurationField, st.timedeltas(datetime.timedelta(-100_000), datetime.timedelta(100_000))
        ),
        "address": Kind(models.GenericIPAddressField, st.ip_addresses().map(str)),
        "json": Kind(
            models.JSONField, JSON.filter(lambda value: value is not None) | st.just(JSON_NULL), is_indexable=False
        ),
    }


JSON_NULL = models.Value(None, models.JSONField())  # which isn't NULL
AUTOMATIC: dict[str, Callable[..., "models.Field[Any, Any]"]] = {
    "auto": models.AutoField,
    "big auto": models.BigAutoField,
    "small auto": models.SmallAutoField,
}


@dataclass(frozen=True)
class Column:
    kind: str
    name: str = ""
    is_null: bool = False
    index: Literal["", "db_index", "unique"] = ""


@dataclass(frozen=True)
class Table:
    """``key`` holds kinds; ``references`` and ``pairs`` hold the numbers of other tables, or of this one."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    references: tuple[int, ...]
    pairs: tuple[int, ...]
    extras: frozenset[str]


class Write(NamedTuple):
    """One of the table's rows, counted in their order, is changed in one column, gets another key, or goes."""

    verb: Literal["add", "change", "rekey", "remove"]
    table: int
    which: int
    column: int
    row: Row


@dataclass(frozen=True)
class Story:
    tables: list[Table]
    rows: list[Write]
    # Before each step.
    writes: list[list[Write]]
    size_of_range: int
    # After how many signs of life a run is killed.
    kills: list[int]
    is_given_up: bool = field(default=False)


EXTRAS = ("generated", "check", "unique together", "index", "default")


@st.composite
def tables(draw: st.DrawFn, vendor: str, count: int) -> Table:
    found = kinds(vendor)
    keys = st.sampled_from([name for name, kind in found.items() if kind.is_key])
    several = st.sampled_from(["integer", "char", "uuid", "date"])
    columns = st.builds(
        Column,
        kind=st.sampled_from(list(found)),
        name=st.sampled_from([*NAMES, f"quo{CASES[vendor]}te"]),
        is_null=st.booleans(),
        index=st.sampled_from(["", "db_index", "unique"]),
    )
    others = st.lists(st.integers(0, count - 1), max_size=2).map(tuple)
    return Table(
        draw(st.sampled_from(NAMES)),
        draw(st.tuples(st.sampled_from(list(AUTOMATIC))) | st.tuples(keys) | st.tuples(several, several)),
        tuple(draw(st.lists(columns, min_size=2, max_size=6))),
        draw(others),
        draw(others),
        draw(st.frozensets(st.sampled_from(EXTRAS))),
    )


def rows(vendor: str, table: Table) -> st.SearchStrategy[Row]:
    found = kinds(vendor)
    values: dict[str, st.SearchStrategy[Any]] = {
        f"key_{n}": found[kind].values for n, kind in enumerate(table.key) if kind in found
    }
    for n, column in enumerate(table.columns):
        values[f"column_{n}"] = found[column.kind].values | (st.none() if column.is_null else st.nothing())
    for n in range(len(table.references)):
        values[f"reference_{n}"] = st.none() | st.integers(0, 9)
    for n in range(len(table.pairs)):
        values[f"pair_{n}"] = st.none() | st.integers(0, 9)
    return st.fixed_dictionaries(values)


@st.composite
def stories(draw: st.DrawFn, vendor: str) -> Story:
    count = draw(st.sampled_from([2, 1, 3, 4]))
    made = [draw(tables(vendor, count)) for _ in range(count)]

    @st.composite
    def writes(draw: st.DrawFn, verbs: list[Any]) -> Write:
        number = draw(st.integers(0, count - 1))
        which, column = draw(st.integers(0, 9)), draw(st.integers(0, 9))
        return Write(draw(st.sampled_from(verbs)), number, which, column, draw(rows(vendor, made[number])))

    batch = st.lists(writes(["change", "change", "add", "rekey", "remove"]), min_size=1, max_size=4)
    return Story(
        tables=made,
        rows=draw(st.lists(writes(["add"]), min_size=4, max_size=15)),
        writes=draw(st.lists(batch, min_size=5, max_size=5)),
        size_of_range=draw(st.integers(1, 7)),
        kills=draw(st.lists(st.integers(1, 25), max_size=2)),
        is_given_up=draw(st.sampled_from([False, False, False, True])),
    )


def models_of(story: Story, vendor: str) -> list[type[models.Model]]:
    """Those of the tables, and those of the pairs."""
    made = [model_of(number, story.tables, kinds(vendor)) for number in range(len(story.tables))]
    return made + [through_of(field) for model in made for field in model._meta.local_many_to_many]


def through_of(field: "models.ManyToManyField[Any, Any]") -> type[models.Model]:
    assert field.remote_field.through
    return field.remote_field.through


def model_of(number: int, tables: list[Table], found: dict[str, Kind]) -> type[models.Model]:
    table = tables[number]
    attributes: dict[str, Any] = {"__module__": __name__, "Meta": meta_of(number, table, found)}
    attributes |= dict(key_of(table, found))
    for n, column in enumerate(table.columns):
        attributes[f"column_{n}"] = field_of(column, found[column.kind], db_column=f"{column.name or 'column'}_{n}")
    for n, other in enumerate(table.references):
        if len(tables[other].key) == 1:
            attributes[f"reference_{n}"] = models.ForeignKey(
                f"billing.Table{other}", models.SET_NULL, null=True, related_name="+"
            )
    for n, other in enumerate(table.pairs):
        if len(tables[other].key) == len(table.key) == 1:
            attributes[f"pair_{n}"] = models.ManyToManyField(f"billing.Table{other}", related_name="+")
    if "generated" in table.extras:
        is_null = models.Case(
            models.When(column_0__isnull=True, then=models.Value(0)),
            default=models.Value(1),
            output_field=models.IntegerField(),
        )
        attributes["generated"] = models.GeneratedField(
            expression=is_null, output_field=models.IntegerField(), db_persist=True
        )
    if "default" in table.extras:
        attributes["default"] = models.IntegerField(db_default=7)
    return type(f"Table{number}", (models.Model,), attributes)


def meta_of(number: int, table: Table, found: dict[str, Kind]) -> type:
    indexable = [f"column_{n}" for n, column in enumerate(table.columns) if found[column.kind].is_indexable]
    constraints: list[models.BaseConstraint] = []
    indexes = []
    if "check" in table.extras:
        condition = models.Q(column_0__isnull=True) | models.Q(column_0__isnull=False)
        constraints.append(models.CheckConstraint(condition=condition, name=f"check_{number}"))
    if "unique together" in table.extras and indexable:
        constraints.append(models.UniqueConstraint(fields=indexable, name=f"unique_{number}"))
    if "index" in table.extras and indexable:
        indexes.append(models.Index(fields=[f"-{indexable[0]}", *indexable[1:]], name=f"index_{number}"))
    name = f"{table.name or 'random'} {number}"
    return type("Meta", (), {"app_label": "billing", "db_table": name, "constraints": constraints, "indexes": indexes})


def key_of(table: Table, found: dict[str, Kind]) -> Iterator[tuple[str, Any]]:
    if table.key[0] in AUTOMATIC:
        yield "key_0", AUTOMATIC[table.key[0]](primary_key=True)
        return
    is_alone = len(table.key) == 1
    for n, kind in enumerate(table.key):
        yield f"key_{n}", found[kind].field(primary_key=is_alone, **found[kind].options)
    if not is_alone:
        yield "pk", models.CompositePrimaryKey(*(f"key_{n}" for n in range(len(table.key))))


def field_of(column: Column, kind: Kind, db_column: str) -> "models.Field[Any, Any]":
    index = {column.index: True} if column.index and kind.is_indexable else {}
    return kind.field(db_column=db_column, null=column.is_null, **index, **kind.options)
