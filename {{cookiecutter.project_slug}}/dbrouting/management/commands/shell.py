import sys
from typing import Any

from django.core.management.commands import shell

from dbrouting.commands import RoutedCommand
from dbrouting.targets import get_targets


class Command(RoutedCommand, shell.Command):
    """Begins on the site or database that the options name; the prompt says where it is at that moment."""

    def handle(self, *args: Any, **options: Any) -> None:
        with get_targets().place(options):
            super().handle(*args, **options)

    def python(self, options: dict[str, Any]) -> None:
        for alias, held in get_targets().holdings():
            self.stdout.write(f"{alias}: {held}")
        sys.ps1 = Prompt()
        super().python(options)


class Prompt:
    """Python asks for it before each line."""

    def __str__(self) -> str:
        where = get_targets().where()
        return f"[{where}] >>> " if where else ">>> "
