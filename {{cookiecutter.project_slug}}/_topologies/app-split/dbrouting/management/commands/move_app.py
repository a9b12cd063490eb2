"""An app and its rows go to another database, while the site goes on."""

import json
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from dbrouting.arguments import at_least_one
from dbrouting.confirming import is_confirmed
from dbrouting.moving.errors import MoveError
from dbrouting.moving.move import Move
from dbrouting.moving.plan import Plan, losses_of, plan_of, require_sense
from dbrouting.moving.preparing import make_database
from dbrouting.moving.steps import abort, drop_source, move_rows, switch
from dbrouting.moving.which import move_of

ENDS = {
    "abort": "{move.app_label} is on {move.source!r} as before, and takes writes; {move.target!r} has nothing of it.",
    "drop_source": "{move.app_label} is on {move.target!r} alone.",
}


class Command(BaseCommand):
    help = "Moves an app with its rows to another database. A run that was interrupted goes on when it is repeated."
    requires_system_checks = []  # the plan runs them, on the map as it is and as it will be

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app_label", help="The app.")
        parser.add_argument("--to", dest="target", metavar="ALIAS", help="Its new database, one of DATABASES.")
        parser.add_argument(
            "--from", dest="source", metavar="ALIAS", help="Where its rows are, if the map says otherwise already."
        )
        parser.add_argument(
            "--batch-size",
            type=at_least_one,
            default=50_000,
            metavar="ROWS",
            help="How many rows are copied in a transaction.",
        )
        parser.add_argument(
            "--jobs",
            type=at_least_one,
            default=2,
            metavar="N",
            help="How many ranges are worked on at once, each with a session on either side; not on SQLite.",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="Say what would be done; fail if it can't be.")
        what.add_argument("--abort", action="store_true", help="Leave the old database as it was; before the switch.")
        what.add_argument("--drop-source", action="store_true", help="Drop the old tables; after the switch.")
        parser.add_argument(
            *("--no-input", "--noinput"),
            action="store_false",
            dest="interactive",
            help="With --drop-source: don't ask for the app's name.",
        )
        parser.add_argument("--json", action="store_true", help="With --dry-run: print the plan as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["app_label"] not in apps.app_configs:
            raise CommandError(f"No installed app has the label {options['app_label']!r}.")
        if options["json"] and not options["dry_run"]:
            raise CommandError("--json prints a plan: add --dry-run. Nothing was changed.")
        try:
            self._handle(move_of(**{name: options[name] for name in ("app_label", "source", "target")}), options)
        except MoveError as error:
            raise CommandError(str(error)) from error

    def _handle(self, move: Move, options: dict[str, Any]) -> None:
        move.size_of_range, move.jobs = options["batch_size"], options["jobs"]
        if options["dry_run"]:
            self._plan(move, options["json"])
        elif options["abort"] or options["drop_source"]:
            self._end(move, abort if options["abort"] else drop_source, options["interactive"])
        else:
            self._move(move)

    def _plan(self, move: Move, as_json: bool) -> None:
        """Print it whole; what is in the way makes the command fail, for scripts too."""
        plan = plan_of(move)
        self._print_plan(plan, as_json)
        if plan.problems:
            problems = "".join(f"\n  in the way: {problem}" for problem in plan.problems)
            raise CommandError(f"{move.app_label} can't be moved. Nothing was changed.{problems}")

    def _print_plan(self, plan: Plan, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(plan.as_data(), indent=2))
            return
        self.stdout.write(self.style.MIGRATE_HEADING(f"{plan.app_label}, from {plan.source!r} to {plan.target!r}:"))
        for table in plan.tables:
            self.stdout.write(f"  {table.model}  {table.table}: {table.rows} rows, {table.bytes} bytes")
        self.stdout.write(f"  together {plan.rows} rows; about {plan.bytes} bytes are needed on {plan.target!r}")
        for line in [*plan.relations, *plan.remarks]:
            self.stdout.write(f"  {line}")

    def _move(self, move: Move) -> None:
        require_sense(move)
        make_database(move)
        if not move.ledger.is_open():
            self._plan(move, as_json=False)
        with tqdm(unit=" rows", unit_scale=True, leave=False, disable=None) as bar:
            move.progress = bar.update
            move_rows(move, self.stdout.write)
        self._report(move)

    def _report(self, move: Move) -> None:
        facts = move.ledger.facts
        self.stdout.write(
            self.style.SUCCESS(
                f"Both sides have the same rows. Writes were refused for {facts['seconds']:.1f} s until then, and are."
            )
        )
        if move.is_switched:
            self.stdout.write(
                f"The map has {move.app_label} on {move.target!r}. When nothing needs the old tables any more:\n"
                f"    {move.command} --drop-source"
            )
        else:
            self.stdout.write(switch(move))

    def _end(self, move: Move, act: Callable[[Move], None], is_asked: bool) -> None:
        if not move.ledger.is_open():
            raise MoveError(f"{move.app_label} is not being moved to {move.target!r}: there is nothing to end.")
        must_ask = act is drop_source and is_asked and move.is_switched
        if must_ask and not is_confirmed(move.app_label, "app", losses_of(move)):
            raise CommandError("Nothing was dropped: that is not its name.")
        act(move)
        self.stdout.write(self.style.SUCCESS(ENDS[act.__name__].format(move=move)))
