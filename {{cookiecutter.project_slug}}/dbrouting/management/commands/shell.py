import sys
from contextlib import nullcontext
from importlib import import_module
from typing import Any

from django.core.management.commands import shell

from dbrouting.commands import RoutedCommand
from dbrouting.targets import get_targets


class Command(RoutedCommand, shell.Command):
    """Begins on the site or database that the options name; Python's prompt says where it is at that moment."""

    def handle(self, *args: Any, **options: Any) -> None:
        alias = get_targets().named(options)
        with get_targets().inside(alias) if alias else nullcontext():
            super().handle(*args, **options)

    def python(self, options: dict[str, Any]) -> None:
        self.tell()
        sys.ps1 = Prompt()
        super().python(options)

    def ipython(self, options: dict[str, Any]) -> None:
        import_module("IPython")  # without it, Django tries the next
        self.tell()
        super().ipython(options)

    def bpython(self, options: dict[str, Any]) -> None:
        import_module("bpython")
        self.tell()
        super().bpython(options)

    def tell(self) -> None:
        for alias, held in get_targets().holdings():
            self.stdout.write(f"{alias}: {held}")
        if where := get_targets().where():
            self.stdout.write(f"Here: {where}")


class Prompt:
    """Python asks for it before each line."""

    def __str__(self) -> str:
        where = get_targets().where()
        return f"[{where}] >>> " if where else ">>> "
