"""What can be found, how bad it is, and what to type."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
MANAGE = "python manage.py"
FEW = 5


class Finding(NamedTuple):
    """``commands`` are to be run one after the other; there are none where only a person can tell."""

    severity: Severity
    what: str
    commands: tuple[str, ...] = ()


Findings = Iterator[Finding]


def in_shell(function: str, alias: str, *arguments: str) -> str:
    """The command that calls a function of ``dbrouting.mending``."""
    values = ", ".join(f"'{value}'" for value in (alias, *arguments))
    return f'{MANAGE} shell -c "from dbrouting.mending import {function}; {function}({values})"'


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def few(names: list[str]) -> str:
    """The first of them, in their order."""
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")
