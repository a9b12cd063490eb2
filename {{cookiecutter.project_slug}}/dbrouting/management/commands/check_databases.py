import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS
from tqdm import tqdm

from dbrouting.aliases import usable_aliases
from dbrouting.inspection.findings import SEVERITIES, Finding
from dbrouting.inspection.inspector import Inspector, Report, aliases_to_inspect, problem_of
from dbrouting.inspection.routing import findings_about_routing
from dbrouting.targets import get_targets

UNREACHABLE = 2


class Command(BaseCommand):
    help = (
        "Compares every database with what the routers, models and migrations say of it, and names the commands that "
        "mend what differs. Writes nothing. The exit code is 0 if all is well, 1 if something was found (see "
        "--fail-level), 2 if a database can't be reached."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        get_targets().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="Print a JSON object, for programs.")
        parser.add_argument(
            "--fail-level", choices=SEVERITIES, default="error", help="What makes the exit code 1: by default an error."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        named = aliases_of(options)
        routing = list(findings_about_routing()) if named is None else []
        aliases = list(aliases_to_inspect()) if named is None else named
        inspector = Inspector()
        reports = [inspector.inspect(alias) for alias in tqdm(aliases, unit="database", leave=False, disable=None)]
        if options["json"]:
            self.stdout.write(json.dumps(as_data(reports, routing), indent=2))
        else:
            self.print_reports(reports, routing, options["verbosity"])
        if code := exit_code(reports, routing, options["fail_level"]):
            sys.exit(code)

    def print_reports(self, reports: list[Report], routing: list[Finding], verbosity: int) -> None:
        if routing:
            self.stdout.write(self.style.MIGRATE_HEADING("The routing"))
            self.print_findings(routing)
        for report in reports:
            if report.findings or report.problem or verbosity:
                self.print_report(report)
        self.stdout.write(summary(reports, routing))

    def print_report(self, report: Report) -> None:
        server = f"{report.server}{', read-only' if report.is_read_only else ''}"
        heading = self.style.MIGRATE_HEADING(report.alias)
        if report.problem:
            self.stdout.write(f"{heading}  {self.style.ERROR('not reached')}")
            self.stdout.write("\n".join(f"  {line}" for line in report.problem.splitlines()))
        else:
            self.stdout.write(f"{heading}  {server}" + ("" if report.findings else f"  {self.style.SUCCESS('well')}"))
            self.print_findings(report.findings)

    def print_findings(self, findings: Iterable[Finding]) -> None:
        styles = {"error": self.style.ERROR, "warning": self.style.WARNING, "info": self.style.NOTICE}
        for finding in findings:
            self.stdout.write(f"  {styles[finding.severity](finding.severity)}: {finding.what}")
            for command in finding.commands:
                self.stdout.write(f"      $ {command}")


def aliases_of(options: dict[str, Any]) -> list[str] | None:
    """What the options name; ``None`` for every database."""
    if not get_targets().are_named(options):
        return None
    if options.get("database") in usable_aliases():
        return [options["database"]]
    if DEFAULT_DB_ALIAS in usable_aliases() and (problem := problem_of(DEFAULT_DB_ALIAS)):
        raise CommandError(problem, returncode=UNREACHABLE)  # what isn't listed may be looked up there
    return list(get_targets().databases(options))


def as_data(reports: list[Report], routing: list[Finding]) -> dict[str, Any]:
    return {
        "routing": [finding._asdict() for finding in routing],
        "databases": [
            {
                "alias": report.alias,
                "reachable": report.is_reachable,
                "problem": report.problem,
                "server": report.server,
                "read_only": report.is_read_only,
                "findings": [finding._asdict() for finding in report.findings],
            }
            for report in reports
        ],
    }


def summary(reports: list[Report], routing: list[Finding]) -> str:
    count = Counter(finding.severity for report in reports for finding in report.findings)
    count.update(finding.severity for finding in routing)
    unreachable = sum(not report.is_reachable for report in reports)
    found = ", ".join(f"{severity}: {count[severity]}" for severity in SEVERITIES)
    return f"Databases: {len(reports)}, not reached: {unreachable}. Found: {found}."


def exit_code(reports: list[Report], routing: list[Finding], fail_level: str) -> int:
    if not all(report.is_reachable for report in reports):
        return UNREACHABLE
    failing = SEVERITIES[: SEVERITIES.index(fail_level) + 1]
    found = [*routing, *(finding for report in reports for finding in report.findings)]
    return int(any(finding.severity in failing for finding in found))
