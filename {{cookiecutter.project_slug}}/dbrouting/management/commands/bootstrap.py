"""From a fresh checkout to a project that runs; safe to repeat."""

from argparse import BooleanOptionalAction
from itertools import chain
from typing import Any

from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from dbrouting.administration import advice, prepare_users
from dbrouting.aliases import apps_on, unlisted_aliases, usable_aliases
from dbrouting.checks import TAG
from dbrouting.provisioning import create_database
from dbrouting.reachability import describe
from dbrouting.targets import get_targets


class Command(BaseCommand):
    help = (
        "Creates and migrates every database and, in development, loads the demo data. With DATABASE_ADMIN_URL, makes "
        "the users that the databases' URLs name, too."
    )
    requires_system_checks = (TAG,)  # Django's own may connect, and there may be nothing yet to connect to

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo",
            action=BooleanOptionalAction,
            default=settings.DEBUG,
            help="Load the demo data and make a demo staff user (by default only when DJANGO_DEBUG is true).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        verbosity = options["verbosity"]
        for message in prepare_users(get_targets().accesses(), with_tests=settings.DEBUG):
            self.stdout.write(message)
        for alias in chain(usable_aliases(), unlisted_aliases()):  # the latter may be looked up in one of the former
            if apps_on(alias):
                self._create(alias)
        call_command("migrate", verbosity=verbosity, interactive=False)
        if options["demo"] and "seed_demo" in get_commands():
            get_targets().prepare_demo()
            call_command("seed_demo", verbosity=verbosity)
        self.stdout.write(self.style.SUCCESS("Ready. Start the site: python manage.py runserver"))

    def _create(self, alias: str) -> None:
        try:
            created = create_database(connections[alias])
        except DatabaseError as error:
            message = describe(alias, error, then="python manage.py bootstrap")
            raise CommandError(message + advice(connections.settings[alias])) from error
        if created:
            self.stdout.write(f"Created the database {alias}.")
