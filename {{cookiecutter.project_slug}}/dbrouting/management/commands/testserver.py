from typing import Any

from django.core.management import call_command
from django.core.management.commands import testserver
from django.db import connections
from django.test.utils import setup_databases

from dbrouting.aliases import usable_aliases
from dbrouting.commands import RoutedCommand
from dbrouting.targets import get_targets
from dbrouting.testing import move_mirrors


class Command(RoutedCommand, testserver.Command):
    """Test databases for all of them, each with its part of the fixtures."""

    def handle(self, *fixtures: str, **options: Any) -> None:
        get_targets().prepare_tests(options)
        setup_databases(options["verbosity"], options["interactive"], aliases=dict.fromkeys(usable_aliases()))
        move_mirrors()
        if fixtures:
            call_command("loaddata", *fixtures, verbosity=options["verbosity"])
        get_targets().fill_tests()
        names = ", ".join(str(connections[alias].settings_dict["NAME"]) for alias in usable_aliases())
        call_command(
            "runserver",
            addrport=options["addrport"],
            use_ipv6=options["use_ipv6"],
            use_reloader=False,  # it would make the databases once more
            use_threading=all(connections[alias].features.test_db_allows_multiple_connections for alias in connections),
            shutdown_message=f"\nServer stopped. The test databases are still there: {names}.",
        )
