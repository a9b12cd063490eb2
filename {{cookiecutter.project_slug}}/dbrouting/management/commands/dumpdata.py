from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.commands import dumpdata

from dbrouting.aliases import lives_on
from dbrouting.commands import OnEveryDatabase
from dbrouting.fixtures import FORMATS, dumping
from dbrouting.reachability import require_reachable


class Command(OnEveryDatabase, dumpdata.Command):
    """All the databases in one fixture, which ``loaddata`` spreads over them again."""

    def handle(self, *labels: str, **options: Any) -> None:
        options["labels"] = {label.partition(".")[0] for label in labels}.intersection(apps.app_configs)
        aliases = self.aliases(options)
        self.require_homes(aliases, options)
        if len(aliases) > 1:
            self.require_format_for(aliases, options)
        for alias in aliases:
            require_reachable(alias, then="python manage.py dumpdata")
        with whole_file(options["output"]) as output:
            self.dump(aliases, *labels, **{**options, "output": output})

    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        labels = options["labels"] or {None}
        return any(lives_on(label, alias) for label in labels)

    def require_homes(self, aliases: list[str], options: dict[str, Any]) -> None:
        """Django writes no row of an app that isn't there, and doesn't say so."""
        for label in sorted(options["labels"]):
            if not (self.is_told_by_program(options) or any(lives_on(label, alias) for alias in aliases)):
                raise CommandError(f"{label} isn't on {', '.join(aliases)}: its rows would be left out.")

    def require_format_for(self, aliases: list[str], options: dict[str, Any]) -> None:
        if options["format"] not in FORMATS:
            raise CommandError(
                f"{options['format']} holds one database: add --database, or dump all of {', '.join(aliases)} with "
                f"--format {' or '.join(FORMATS)}."
            )
        if options["use_natural_primary_keys"]:
            self.stderr.write(
                "--natural-primary leaves out primary keys, by which rows may be referred to from another database.",
                self.style.WARNING,
            )

    def dump(self, aliases: list[str], *labels: str, **options: Any) -> None:
        """Django's command puts the rows of each database aside, to write all of them with the last."""
        if len(aliases) > 1:
            options["verbosity"] = 0  # no bar: Django would measure all of them by the last
        with dumping(aliases):
            for alias in aliases[:-1]:
                dumpdata.Command.handle(self, *labels, **{**options, "database": alias, "output": None})
            dumpdata.Command.handle(self, *labels, **{**options, "database": aliases[-1]})


@contextmanager
def whole_file(output: str | None) -> Iterator[str | None]:
    """Where to write instead of ``output``, so that a dump which fails doesn't take the place of the last good one."""
    if output is None or (Path(output).exists() and not Path(output).is_file()):
        yield output
        return
    place = Path(output).resolve()  # a link stays one
    try:
        unfinished = TemporaryDirectory(dir=place.parent, prefix=".dumpdata_")
    except OSError as error:
        raise CommandError(f"{output} can't be written: {error}") from error
    with unfinished:
        yield str(Path(unfinished.name, place.name))
        for path in Path(unfinished.name).iterdir():  # one file, whose name Django may have shortened
            path.replace(place.parent / path.name)
