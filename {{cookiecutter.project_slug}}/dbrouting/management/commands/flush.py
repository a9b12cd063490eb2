from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import flush
from django.db import connections

from dbrouting.aliases import apps_on
from dbrouting.commands import OnEveryDatabase
from dbrouting.targets import get_targets


class Command(OnEveryDatabase, flush.Command):
    """Asks once, for all of them."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--bare",
            action="store_true",
            dest="inhibit_post_migrate",
            help="Leave out the content types and permissions, too: for a fixture of everything, which has its own.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        aliases = self.aliases(options)
        if options["interactive"] and not is_confirmed(aliases):
            self.stdout.write("Flush cancelled.")
            return
        self.act_on_each(aliases, *args, **{**options, "interactive": False})

    def aliases(self, options: dict[str, Any]) -> list[str]:
        found = super().aliases(options)
        if self.is_told_by_program(options):
            return found
        kept = {alias: reason for alias in found if (reason := get_targets().must_keep(alias))}
        if kept and len(kept) == len(found):
            raise CommandError("\n".join(kept.values()))
        for reason in kept.values():
            self.stderr.write(reason, self.style.WARNING)
        return [alias for alias in found if alias not in kept]


def is_confirmed(aliases: list[str]) -> bool:
    databases = "\n".join(
        f"    {alias} ({connections[alias].settings_dict['NAME']}): {', '.join(apps_on(alias))}" for alias in aliases
    )
    print(f"This destroys ALL DATA, for good, in:\n\n{databases}\n")
    return input("Type 'yes' to continue, or 'no' to cancel: ") == "yes"
