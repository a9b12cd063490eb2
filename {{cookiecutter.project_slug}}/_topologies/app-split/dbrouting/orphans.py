"""Rows that refer to a row of another database which isn't there: no database looks for them.

They come of deletions that Django didn't see, of rows that were added while a deletion was under way, and of backups
that were restored one by one. What an outbox has yet to follow counts as well.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db import IntegrityError
from django.db.models import DO_NOTHING
from django.db.transaction import atomic

from dbrouting.late_rows import UnsureError, keys_missing_still
from dbrouting.references import BATCH, REFUSING, CrossDatabaseForeignKey, apply_rule, keys_without_row, name_of
from dbrouting.routers import home_of_model

FEW = 5
LONGEST_REFUSAL = 300


class Orphans(NamedTuple):
    """The rows with a key that leads nowhere, how many of them the rule was applied to, and the first of the keys.

    And the first errors of those that it could not be applied to, such as by a PROTECT beside them; and why it was
    applied to no more, if nobody could tell whether what they refer to is about to be committed.
    """

    reference: str
    to: str
    rule: str
    rows: int
    fixed: int
    keys: list[Any]
    refusals: list[str]
    unsure: str = ""

    @property
    def left(self) -> int:
        return self.rows - self.fixed


def find_orphans(
    field: CrossDatabaseForeignKey, fix: bool = False, progress: Callable[[int], object] = lambda count: None
) -> Orphans:
    """Look at every key there is, a range at a time; with ``fix`` do what ``on_delete`` would have done.

    PROTECT, RESTRICT and DO_NOTHING would have done nothing: what they left is for a person to judge. Before anything
    is done it is looked for once more, and who is adding it is waited for.
    """
    rows, fixed, first, refusals, unsure = 0, 0, list[Any](), list[str](), ""
    fix = fix and is_fixable(field)
    for keys in missing_keys(field, progress):
        if fix and not unsure:
            try:
                keys = keys_missing_still(field, keys)
            except UnsureError as error:
                unsure = str(error)
        first += keys[: FEW - len(first)]
        rows += rows_of(field).filter(**{f"{field.attname}__in": keys}).count()
        fixed += apply_to_all(field, keys, refusals) if fix and not unsure else 0
    label = field.remote_field.model._meta.label
    return Orphans(str(field), label, name_of(field.rule), rows, fixed, first, refusals[:FEW], unsure)


def missing_keys(field: CrossDatabaseForeignKey, progress: Callable[[int], object]) -> Iterator[list[Any]]:
    """In ranges of the side that refers: the other's order of texts may be another."""
    for keys in ranges_of_keys(field):
        if missing := keys_without_row(field, keys):
            yield missing
        progress(len(keys))


def ranges_of_keys(field: CrossDatabaseForeignKey) -> Iterator[list[Any]]:
    """From its index, and never more than one range of them in memory."""
    keys = rows_of(field).exclude(**{field.attname: None}).order_by(field.attname).distinct()
    keys = keys.values_list(field.attname, flat=True)
    found = list(keys[:BATCH])
    while found:
        yield found
        found = list(keys.filter(**{f"{field.attname}__gt": found[-1]})[:BATCH])


def rows_of(field: CrossDatabaseForeignKey) -> Any:
    return field.model._base_manager.using(home_of_model(field.model))


def is_fixable(field: CrossDatabaseForeignKey) -> bool:
    return field.rule not in (*REFUSING, DO_NOTHING)


def apply_to_all(field: CrossDatabaseForeignKey, keys: list[Any], refusals: list[str]) -> int:
    """What refuses one key doesn't keep the others."""
    total, done = 0, BATCH
    while done == BATCH:
        try:
            with atomic(using=home_of_model(field.model)):
                done = apply_rule(field, keys)
        except IntegrityError as error:
            if len(keys) == 1:
                refusals.append(f"{keys[0]}: {error}"[:LONGEST_REFUSAL])
                return total
            middle = len(keys) // 2
            return total + sum(apply_to_all(field, half, refusals) for half in (keys[:middle], keys[middle:]))
        total += done
    return total
