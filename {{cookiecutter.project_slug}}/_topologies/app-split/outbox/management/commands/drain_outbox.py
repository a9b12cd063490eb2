import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections
from tqdm import tqdm

from dbrouting.arguments import seconds
from outbox.aliases import possible_outboxes
from outbox.rounds import Outages, Round, Stop, StoppedError, close_if_dead, drain_all, stopped_by_signals


class Command(BaseCommand):
    help = "Handles what is in the outbox of each database. Ends with 1 if messages are left that failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--alias", action="append", metavar="ALIAS", help="Only this outbox; may be repeated.")
        parser.add_argument("--watch", type=seconds, metavar="SECONDS", help="Go on, and look again after each pause.")
        parser.add_argument("--retry", action="store_true", help="First those that were put off, at once.")
        parser.add_argument("--json", action="store_true", help="Print an object for each pass, for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        known = possible_outboxes()
        aliases = options["alias"] or known
        if unknown := set(aliases) - set(known):
            raise CommandError(f"No outbox is on {', '.join(sorted(unknown))}. They are on: {', '.join(known)}.")
        if options["watch"] is not None:
            self.watch(aliases, options)
            return
        found = self.drain_all(aliases, Stop(), options)
        if found.problems:
            raise CommandError("\n".join(found.problems.values()))
        if found.failing:
            sys.exit(1)

    def watch(self, aliases: list[str], options: dict[str, Any]) -> None:
        outages = Outages()
        with stopped_by_signals() as stop:
            while not stop.is_asked:
                due = outages.due(aliases)
                try:
                    found = self.drain_all(due, stop, options, prunes=len(due) == len(aliases))
                except StoppedError:
                    return
                for news in outages.news(due, found.problems):
                    self.stderr.write(news)
                stop.wait(options["watch"])
                for connection in connections.all(initialized_only=True):
                    close_if_dead(connection)

    def drain_all(self, aliases: list[str], stop: Stop, options: dict[str, Any], prunes: bool = True) -> Round:
        with tqdm(desc="outbox", leave=False, disable=None) as bar:

            def progress(count: int) -> None:
                bar.update(count)
                stop.check()

            found = drain_all(aliases, bar.reset, progress, options["retry"], prunes)
        self.report(found, options)
        return found

    def report(self, found: Round, options: dict[str, Any]) -> None:
        if options["json"]:
            rows = {"handled": found.handled, "outboxes": [one._asdict() for one in found.left]}
            self.stdout.write(json.dumps({**rows, "problems": found.problems}, cls=DjangoJSONEncoder))
            return
        is_news = found.handled or any(one.waiting for one in found.left)
        if options["watch"] is not None and not is_news:
            return
        self.stdout.write(f"Handled: {found.handled}.")
        for one in found.left:
            if one.waiting:
                since = f", the oldest since {one.oldest:%Y-%m-%d %H:%M:%S %Z}" if one.oldest else ""
                self.stdout.write(f"Left on {one.alias}: {one.waiting}{since}.")
            if one.failing:
                what = f"  {one.failing} failed, and will be tried again. {one.last_error}"
                self.stdout.write(what, self.style.ERROR)
        if found.failing:
            self.stdout.write("  Once the cause is mended: python manage.py drain_outbox --retry")
