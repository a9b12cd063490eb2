from typing import Any

from django.core.management.commands import dbshell

from dbrouting.commands import RoutedCommand
from dbrouting.targets import get_targets


class Command(RoutedCommand, dbshell.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        alias = get_targets().one(options)
        self.say_where(alias, options)
        self.act_on(alias, *args, **options)
