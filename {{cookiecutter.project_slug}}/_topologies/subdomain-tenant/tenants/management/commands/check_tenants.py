import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.explained import explained
from tenants.migrating.drift import Report, inspect_tenants, places_without_tenant
from tenants.migrating.runs import in_words
from tenants.models import Tenant
from tenants.services import get_tenant


class Command(BaseCommand):
    help = (
        "Compares the tenants with what the shared database, the models and the migrations say of them, and names the "
        "commands that mend what differs. Writes nothing. The exit code is 1 if something has to be mended."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tenant", action="append", metavar="NAME", help="Look at this tenant; may be repeated. By default all."
        )
        parser.add_argument("--json", action="store_true", help="Print a JSON array, for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained("The tenants could not be looked at."):
            names = options["tenant"]
            tenants = [get_tenant(name) for name in names] if names else list(Tenant.objects.all())
            reports = inspect_tenants(tenants) + ([] if names else places_without_tenant())
        if options["json"]:
            self.stdout.write(json.dumps([as_data(report) for report in reports], indent=2))
        else:
            self.print_reports(reports, len(tenants))
        if any(finding.severity != "info" for report in reports for finding in report.findings):
            sys.exit(1)

    def print_reports(self, reports: list[Report], total: int) -> None:
        styles = {"error": self.style.ERROR, "warning": self.style.WARNING, "info": self.style.NOTICE}
        for report in reports:
            if report.findings:
                self.stdout.write(self.style.MIGRATE_HEADING(report.name or report.alias))
            for finding in report.findings:
                self.stdout.write(f"  {styles[finding.severity](finding.severity)}: {finding.what}")
                for command in finding.commands:
                    self.stdout.write(f"      $ {command}")
        well = sum(bool(report.name and not report.findings) for report in reports)
        self.stdout.write(f"{in_words(total)}, {well} well.")


def as_data(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "alias": report.alias,
        "findings": [finding._asdict() for finding in report.findings],
    }
