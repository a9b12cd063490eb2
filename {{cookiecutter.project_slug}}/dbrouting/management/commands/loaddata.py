import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import loaddata
from django.core.serializers.base import DeserializationError, DeserializedObject
from django.db import DatabaseError

from dbrouting.commands import OnEveryDatabase
from dbrouting.fixtures import Elsewhere, loading, takes
from dbrouting.targets import get_targets

STDIN = "-"


class Command(OnEveryDatabase, loaddata.Command):
    """Each row into the database where it lives; one that lives nowhere is an error."""

    def handle(self, *labels: str, **options: Any) -> None:
        aliases = self.aliases(options)  # before a fixture brings more of them
        self.elsewhere: Counter[Elsewhere] = Counter()
        self.elsewhere_here: Counter[Elsewhere] = Counter()
        self.missing: dict[str, set[str]] = defaultdict(set)
        with loading(), kept_for_all(labels, options["format"]) as kept:
            if self.is_told_by_program(options):  # test cases load their fixtures into one database after the other
                loaddata.Command.handle(self, *kept, **options)
            else:
                self.act_on_each(aliases, *kept, **options)
        self.report(aliases, options)

    def act_on(self, alias: str, *labels: str, **options: Any) -> str | None:
        loaddata.Command.find_fixtures.cache_clear()  # type: ignore[attr-defined]  # Django caches what it found
        self.elsewhere_here.clear()
        try:
            done = super().act_on(alias, *labels, **options)
        except (DatabaseError, DeserializationError) as error:
            said = " ".join(str(error).split())
            raise CommandError(f"{said} Nothing was loaded into {alias!r}.") from error
        self.elsewhere |= self.elsewhere_here
        return done

    def find_fixtures(self, fixture_label: str) -> list[Any]:
        """None for this database, where there is one for another: a fixture may be named after its database."""
        try:
            return super().find_fixtures(fixture_label)
        except CommandError as error:
            self.missing[str(error)].add(self.using)
            return []

    def save_obj(self, obj: DeserializedObject | Elsewhere) -> bool:
        if isinstance(obj, Elsewhere):
            self.elsewhere_here[obj] += 1
            return False
        return super().save_obj(obj)

    def report(self, aliases: list[str], options: dict[str, Any]) -> None:
        """What none of the databases took. Who names one may mean a part of the fixture."""
        for error, databases in self.missing.items():
            if databases == set(aliases):
                raise CommandError(error)
        left_out = {
            row: count
            for row, count in self.elsewhere.items()
            if not any(takes(alias, row.model, row.database) for alias in aliases)
        }
        if not left_out:
            return
        rows = ", ".join(f"{count} of {row}" for row, count in left_out.items())
        message = f"Not loaded, for {' and '.join(aliases)} can't hold them: {rows}."
        if not get_targets().are_named(options):
            raise CommandError(message)
        self.stderr.write(message, self.style.WARNING)


@contextmanager
def kept_for_all(labels: tuple[str, ...], form: str | None) -> Iterator[tuple[str, ...]]:
    """``labels`` with a file in place of standard input, which can be read once only."""
    if STDIN not in labels or not form:  # Django asks for the format
        yield labels
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, f"stdin.{form}")
        with path.open("w", encoding="utf-8") as file:
            shutil.copyfileobj(sys.stdin, file)
        yield tuple(str(path) if label == STDIN else label for label in labels)
