import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from dbrouting.arguments import seconds
from dbrouting.management.commands.check_databases import UNREACHABLE
from dbrouting.replication import UNIT
from dbrouting.replication_status import Status, replication_status

HEADINGS = ("alias", "role", "state", f"behind ({UNIT})", "seconds", "weight", "eligible")


class Command(BaseCommand):
    help = (
        "Asks the primary and each replica how they are, and how far each replica is behind: it waits until they have "
        "what the primary has written by now. The exit code is 0 if all are eligible for reads, 1 if a replica isn't, "
        "2 if the primary can't be reached or isn't one."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print a JSON object, for programs.")
        parser.add_argument(
            "--wait",
            type=seconds,
            default=settings.REPLICA_MAX_LAG_SECONDS,
            metavar="SECONDS",
            help="How long to wait for replicas that are behind: by default REPLICA_MAX_LAG_SECONDS.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        statuses = replication_status(options["wait"])
        if options["json"]:
            self.stdout.write(json.dumps({"unit": UNIT, "databases": [asdict(one) for one in statuses]}, indent=2))
        else:
            self.stdout.write(table(statuses))
            for status in statuses:
                if status.why_not:
                    self.stdout.write(f"\n{self.style.ERROR(status.alias)}: {status.why_not}")
        if code := exit_code(statuses):
            sys.exit(code)


def exit_code(statuses: list[Status]) -> int:
    if any(status.role == "primary" and not status.eligible for status in statuses):
        return UNREACHABLE
    return int(not all(status.eligible for status in statuses))


def table(statuses: Iterable[Status]) -> str:
    rows = [HEADINGS, *map(cells, statuses)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def cells(status: Status) -> tuple[str, ...]:
    """What wasn't measured, or doesn't apply, is a dash."""
    lag_seconds = "-" if status.lag_seconds is None else f"{status.lag_seconds:.1f}"
    return (
        status.alias,
        status.role,
        status.state,
        "-" if status.lag is None else f"{status.lag:,}",
        f"> {lag_seconds}" if status.arrived is False else lag_seconds,
        str(status.weight or "-"),
        "yes" if status.eligible else "no",
    )
