"""Decisions as a table for people: what is decided alike shares a line, and apps that agree in all share a block."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from dbrouting.explaining import OPERATIONS, Decision

HEADINGS: tuple[str, ...] = ("app or model", "operation", "alias", "why")
BLANK = ("",) * len(HEADINGS)
NAMES_WIDTH = 26

# Operations, aliases, why.
Line = tuple[str, str, str]


def routing_table(decisions: Iterable[Decision]) -> str:
    rows = [HEADINGS]
    for names, lines in blocks_of(decisions):
        rows += rows_of(wrap(", ".join(names), NAMES_WIDTH), lines, apart=len(rows) == 1 or len(lines) > 1)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def rows_of(names: list[str], lines: list[Line], apart: bool) -> Iterator[tuple[str, ...]]:
    """A block, which has a blank row before it where it would run into its neighbours."""
    if apart:
        yield BLANK
    for name, line in zip_longest(names, lines):
        yield (name or "", *(line or BLANK[1:]))


def blocks_of(decisions: Iterable[Decision]) -> list[tuple[list[str], list[Line]]]:
    """Names of apps, or of models where an app's differ, with the lines that hold for all of them."""
    by_app: dict[str, dict[str, list[Decision]]] = defaultdict(lambda: defaultdict(list))
    for one in decisions:
        by_app[one.app_label][one.model].append(one)
    blocks: dict[tuple[Line, ...], list[str]] = defaultdict(list)
    for app_label, models in by_app.items():
        lines_of_app = {model: tuple(lines_of(found)) for model, found in models.items()}
        if len(set(lines_of_app.values())) == 1:
            blocks[next(iter(lines_of_app.values()))].append(app_label)
            continue
        for model, lines in lines_of_app.items():
            blocks[lines].append(model)
    return [(names, list(lines)) for lines, names in blocks.items()]


def lines_of(decisions: Iterable[Decision]) -> Iterator[Line]:
    facts = [(one.operation, one.alias or "-", one.when, one.reason, short(one.router)) for one in decisions]
    for column, separator in enumerate((", ", ", ", " or ")):
        facts = joined(facts, column, separator)
    for operations, aliases, when, reason, router in sorted(facts, key=lambda fact: rank(fact[0])):
        why = f"{when}: {reason}" if when else reason
        yield operations, aliases, f"{why} ({router})" if router else why


def joined(facts: list[Any], column: int, separator: str) -> list[Any]:
    """Facts that differ in this column only, as one."""
    found: dict[Any, list[str]] = defaultdict(list)
    for fact in facts:
        values = found[(*fact[:column], *fact[column + 1 :])]
        if fact[column] not in values:
            values.append(fact[column])
    return [(*rest[:column], separator.join(values), *rest[column:]) for rest, values in found.items()]


def rank(operations: str) -> int:
    return OPERATIONS.index(operations.partition(",")[0])


def short(path: str | None) -> str:
    return (path or "").rpartition(".")[2]
