from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.management.jobs import add_jobs
from tenants.running import raise_failures, run_on_tenants
from tenants.targets import tenants_called


class Command(BaseCommand):
    help = "Runs a command once for each tenant. All that follows its name is its own."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--tenant", action="append", metavar="NAME", help="Run it for this one; may be repeated.")
        which.add_argument("--all", action="store_true", help="Run it for every tenant, suspended ones too.")
        add_jobs(parser, "Run it for")
        parser.add_argument("command_line", nargs=REMAINDER, metavar="command …", help="The command, its arguments.")

    def handle(self, *args: Any, **options: Any) -> None:
        words = options["command_line"]
        if words[:1] == ["--"]:
            words = words[1:]
        if not words:
            raise CommandError("Which command? For instance: python manage.py run_on_tenants --all clearsessions")
        chosen = tenants_called(options["tenant"])
        if not chosen:
            self.stderr.write("There are no tenants yet. To make one: python manage.py create_tenant NAME")
        streams = {name: options[name] for name in ("stdout", "stderr") if options.get(name)}
        how = {"jobs": options["jobs"], "show_traceback": options["traceback"]}
        failures = run_on_tenants(chosen, words, self.announce, **how, **streams)
        raise_failures(failures, words, len(chosen))

    def announce(self, text: str) -> None:
        """Beside the output, which may be piped into a file."""
        self.stderr.write(text, self.style.MIGRATE_HEADING)
