from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.management.explained import explained
from tenants.management.jobs import add_jobs
from tenants.migrating.runs import AGAIN, Report, in_words, migrate_tenants, print_plan
from tenants.services import get_tenants


class Command(BaseCommand):
    help = (
        "Migrates the tenants that aren't up to date, each on its own: one that fails doesn't keep the others, and the "
        "next run goes on where this one ended. `migrate` does the shared database first, then the same."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tenant", action="append", metavar="NAME", help="Migrate this tenant; may be repeated. By default all."
        )
        add_jobs(parser, "Migrate")
        parser.add_argument("--plan", action="store_true", help="Print what would be done, and do nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained():
            tenants = get_tenants(options["tenant"])
            if options["plan"]:
                print_plan(tenants, self.stdout)
                return
            report = migrate_tenants(tenants, options["jobs"])
        self.print_report(report, options["verbosity"])

    def print_report(self, report: Report, verbosity: int) -> None:
        if verbosity >= 2:
            for outcome in report.migrated:
                self.stdout.write(f"{outcome.tenant.name}: {', '.join(outcome.migrations)}")
        if not report.failed and not report.unreached:
            self.stdout.write(self.style.SUCCESS(report.in_words()))
            return
        raise CommandError(shortfall(report))


def shortfall(report: Report) -> str:
    """What is left to be done, and how."""
    lines = []
    if report.failed:
        lines.append(f"{len(report.failed)} of {in_words(report.total)} could not be migrated:")
        lines += [f"  {outcome.tenant.name}: {outcome.error}" for outcome in report.failed]
    if report.unreached:
        lines.append(f"Stopped: {in_words(report.unreached)} had no turn yet.")
    mend = "Mend the cause and run" if report.failed else "Run"
    return "\n".join([*lines, f"The others are done. {mend} `{AGAIN}` again."])
