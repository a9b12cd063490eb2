import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections
from tqdm import tqdm

from dbrouting.reachability import require_reachable
from outbox.aliases import outboxes
from outbox.draining import Backlog, Drained, backlog, drain
from outbox.receipts import prune


class Command(BaseCommand):
    help = "Handles what is in the outbox of each database. Ends with 1 if messages are left that failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--alias", action="append", metavar="ALIAS", help="Only this outbox; may be repeated.")
        parser.add_argument("--watch", type=float, metavar="SECONDS", help="Go on, and look again after each pause.")
        parser.add_argument("--json", action="store_true", help="Print an object for each pass, for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        aliases = options["alias"] or outboxes()
        if unknown := set(aliases) - set(outboxes()):
            raise CommandError(f"No outbox is on {', '.join(sorted(unknown))}. They are on: {', '.join(outboxes())}.")
        while True:
            failing = self.drain_all(aliases, options)
            if options["watch"] is None:
                break
            time.sleep(options["watch"])
            close_dead_connections()
        if failing:
            sys.exit(1)

    def drain_all(self, aliases: list[str], options: dict[str, Any]) -> int:
        """How many messages are left that have failed. Handling one may write others, in any of the databases."""
        for alias in aliases:
            require_reachable(alias, then="python manage.py drain_outbox")
        waiting = sum(backlog(alias).waiting for alias in aliases)
        total = Drained()
        with tqdm(total=waiting, desc="outbox", leave=False, disable=None) as bar:
            while (drained := sum((drain(alias, bar.update) for alias in aliases), Drained())).handled:
                total += drained
        for alias in aliases:
            prune(alias)
        left = [backlog(alias) for alias in aliases]
        self.report(total.handled, left, options)
        return sum(one.failing for one in left)

    def report(self, handled: int, left: list[Backlog], options: dict[str, Any]) -> None:
        if options["json"]:
            rows = [one._asdict() for one in left]
            self.stdout.write(json.dumps({"handled": handled, "outboxes": rows}, cls=DjangoJSONEncoder))
            return
        self.stdout.write(f"Handled: {handled}.")
        for one in left:
            if one.waiting:
                since = f", the oldest since {one.oldest:%Y-%m-%d %H:%M:%S %Z}" if one.oldest else ""
                self.stdout.write(f"Left on {one.alias}: {one.waiting}{since}.")
            if one.failing:
                what = f"  {one.failing} failed, and will be tried again. {one.last_error}"
                self.stdout.write(what, self.style.ERROR)


def close_dead_connections() -> None:
    """Those that died, or are too old, while the command slept; none with a transaction, which a test has open."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
