import signal
import sys
from typing import Any

from django.core.management import call_command
from django.core.management.commands import testserver
from django.db import connections
from django.test.utils import setup_databases, teardown_databases

from dbrouting.aliases import usable_aliases
from dbrouting.commands import RoutedCommand
from dbrouting.targets import get_targets
from dbrouting.testing import close_all_sessions, move_mirrors


class Command(RoutedCommand, testserver.Command):
    """Test databases for all of them, each with its part of the fixtures.

    They are dropped in the end: a test run that keeps its databases would find these rows in them.
    """

    def handle(self, *fixtures: str, **options: Any) -> None:
        verbosity = options["verbosity"]
        signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))  # as at Ctrl-C: what is under way comes to its end
        get_targets().prepare_tests(options)
        made = setup_databases(verbosity, options["interactive"], aliases=dict.fromkeys(usable_aliases()))
        try:
            move_mirrors()
            if fixtures:
                call_command("loaddata", *fixtures, verbosity=verbosity)
            get_targets().fill_tests()
            self.serve(options)
        finally:
            close_all_sessions()
            teardown_databases(made, verbosity)

    def serve(self, options: dict[str, Any]) -> None:
        for alias in usable_aliases():  # a request's thread ends with it: what it kept open nobody could close
            connections[alias].settings_dict["CONN_MAX_AGE"] = 0
        call_command(
            "runserver",
            addrport=options["addrport"],
            use_ipv6=options["use_ipv6"],
            use_reloader=False,  # it would make the databases once more
            use_threading=all(connections[alias].features.test_db_allows_multiple_connections for alias in connections),
            shutdown_message="\nServer stopped. The test databases are dropped.",
        )
