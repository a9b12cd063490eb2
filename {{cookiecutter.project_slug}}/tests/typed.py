"""Commands as a person types them, but in this process: on the databases of the tests."""

from io import StringIO
from typing import NamedTuple, cast

from django.core.management import call_command, get_commands, load_command_class

from dbrouting.commands import RoutedCommand


class Typed(NamedTuple):
    out: str
    err: str


def typed(name: str, *arguments: str) -> Typed:
    """What ``manage.py name …`` prints. Some commands are stricter with people than with programs."""
    command = cast(RoutedCommand, load_command_class(get_commands()[name], name))
    command._called_from_command_line = True
    out, err = StringIO(), StringIO()
    call_command(command, *arguments, stdout=out, stderr=err)
    return Typed(out.getvalue(), err.getvalue())
