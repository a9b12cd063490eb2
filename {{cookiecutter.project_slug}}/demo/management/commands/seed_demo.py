from typing import Any

from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError
from tqdm import tqdm

from dbrouting.commands import OnEachTarget
from demo.seeding import STEPS, Seeded, ensure_staff_user, seed


class Command(OnEachTarget):
    help = "Loads the demo data. Run it as often as you like: it only adds what is missing."

    def handle_target(self, label: str, *args: Any, **options: Any) -> None:
        try:
            self._seed(label)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(self._complaint(label, error)) from error

    def _seed(self, label: str) -> None:
        """One line for each kind of row, after the target's name if there is more than one target."""
        with tqdm(total=STEPS, desc=label or "demo data", leave=False, disable=None) as bar:
            seeded = seed(bar.update)
        self.stdout.write(f"Demo data{f' of {label}' if label else ''}:")
        for kind, counts in seeded.items():
            self.stdout.write(self._line(kind, counts))
        if credentials := ensure_staff_user():
            self.stdout.write("  log in as {}, password {}".format(*credentials))

    def _complaint(self, label: str, error: Exception) -> str:
        where = f" on {label}" if label else ""
        return (
            f"The demo data needs every table of accounts, catalogue and orders{where}: {error}.\n"
            "To make the tables where the routers want them: python manage.py migrate"
        )

    def _line(self, kind: str, counts: Seeded) -> str:
        return f"  {kind}: {counts.created} created, {counts.already_there} already there"
