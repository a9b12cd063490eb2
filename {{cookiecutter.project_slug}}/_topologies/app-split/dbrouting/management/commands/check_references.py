import json
import sys
from functools import cache
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from tqdm import tqdm

from dbrouting.orphans import Orphans, find_orphans
from dbrouting.reachability import missing_tables_explained, require_reachable
from dbrouting.references import CrossDatabaseForeignKey, references
from dbrouting.routers import OUTBOX, home_of_model

AGAIN = "python manage.py check_references"


class Command(BaseCommand):
    help = (
        "Finds rows that refer to a row of another database which isn't there. Ends with 1 if there are any left, or a "
        "database couldn't be asked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fix", action="store_true", help="Do with them what on_delete of their field says.")
        parser.add_argument("--json", action="store_true", help="Print a JSON array, for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        found, unseen = self.look(options["fix"])
        if options["json"]:
            rows = [{**one._asdict(), "left": one.left} for one in found]
            self.stdout.write(json.dumps(rows, indent=2, cls=DjangoJSONEncoder))
        else:
            self.report(found)
        if unseen:
            reasons = "".join(f"\n  {reason}" for reason in dict.fromkeys(unseen.values()))
            raise CommandError(f"Not every reference could be looked at: {', '.join(unseen)}.{reasons}")
        if any(one.left for one in found):
            sys.exit(1)

    def look(self, fix: bool) -> tuple[list[Orphans], dict[str, str]]:
        """What was found, and of each reference that couldn't be looked at, or to its end, why."""
        found, unseen = list[Orphans](), dict[str, str]()
        problem_of = cache(why_unreachable)
        for field in references():
            sides = dict.fromkeys([home_of_model(field.target_field.model), home_of_model(field.model)])
            if problem := next(filter(None, map(problem_of, sides)), ""):
                unseen[str(field)] = problem
                continue
            try:
                found.append(self.orphans_of(field, fix))
            except CommandError as error:
                unseen[str(field)] = in_a_line(error)
        return found, unseen

    def orphans_of(self, field: CrossDatabaseForeignKey, fix: bool) -> Orphans:
        with (
            tqdm(desc=str(field), unit=" keys", leave=False, disable=None) as bar,
            missing_tables_explained(home_of_model(field.model), AGAIN),
        ):
            found = find_orphans(field, fix, bar.update)
            return found._replace(refusals=[*found.refusals, *deletions_refused(field)])

    def report(self, found: list[Orphans]) -> None:
        for one in found:
            self.stdout.write(f"{one.reference} ({one.rule}): {one.rows} rows refer to no {one.to}.")
            if one.rows:
                self.stdout.write(f"  Their keys begin with {', '.join(map(str, one.keys))}. Fixed: {one.fixed}.")
            for refusal in one.refusals:
                self.stdout.write(f"  refused: {refusal}", self.style.ERROR)
            if one.unsure:
                self.stdout.write(f"  {one.unsure}", self.style.ERROR)
        if any(one.refusals for one in found):
            what = "Remove or change what refuses, then: python manage.py drain_outbox --retry"
            self.stdout.write(what, self.style.WARNING)
        if any(one.left for one in found):
            self.stdout.write(
                "`drain_outbox` follows the deletions that are recorded, `check_references --fix` does what on_delete "
                "says; what PROTECT, RESTRICT and DO_NOTHING left is yours to judge.",
                self.style.WARNING,
            )


def why_unreachable(alias: str) -> str:
    try:
        require_reachable(alias, then=AGAIN)
    except CommandError as error:
        return in_a_line(error)
    return ""


def in_a_line(error: CommandError) -> str:
    return " ".join(str(error).split())


def deletions_refused(field: CrossDatabaseForeignKey) -> list[str]:
    """What keeps recorded deletions from being followed."""
    if not apps.is_installed(OUTBOX):
        return []
    from outbox.cascades import refusals  # has models, which can't be imported unless they are installed

    return list(refusals(field))
