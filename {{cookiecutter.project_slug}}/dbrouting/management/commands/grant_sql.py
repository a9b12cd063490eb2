"""SQL for a server's administrator: a user for the site that can't touch a table, and one for ``migrate`` that can."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from dbrouting import privileges
from dbrouting.aliases import unlisted_aliases
from dbrouting.grants import Names, grant_on, grants_of_all, in_tests, on_one_server, require_users


class Command(BaseCommand):
    help = (
        "Prints SQL for the server's administrator to run. It makes users with the rights they need and no more: one "
        "that the site runs as, one that migrates, and those who only read."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", metavar="ALIAS", help="Only for this database. By default for all.")
        parser.add_argument("--server", metavar="HOST:PORT", help="Only for the databases on this server.")
        parser.add_argument(
            "--application", default="", metavar="NAME", help="Who the site runs as. By default the user in the URL."
        )
        parser.add_argument(
            "--migrator",
            default="",
            metavar="NAME",
            help="Who migrates. By default the application's name + _migrator.",
        )
        parser.add_argument("--reader", default="", metavar="NAME", help="Somebody who may read everything.")
        parser.add_argument(
            "--with-tests", action="store_true", help="Let the migrator make the databases of the tests, too."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        require_users()
        names = Names(options["application"], options["migrator"], options["reader"])
        if options["database"]:
            grants = [grant_on(options["database"], names)]
        else:
            grants = grants_of_all(names, [] if privileges.KNOWS_PATTERNS else self._unlisted())
        if options["with_tests"]:
            grants += list(in_tests(grants))
        for text in privileges.script(on_one_server(grants, options["server"])):
            self.stdout.write(text, ending="")

    def _unlisted(self) -> list[str]:
        try:
            return list(unlisted_aliases())
        except DatabaseError as error:
            reason = " ".join(str(error).split())
            # A comment, in case the errors are sent where the script goes.
            self.stderr.write(
                f"-- Left out: databases that are found by asking another, which can't be asked: {reason}"
            )
            return []
