"""Ask before something goes for good."""

import sys
from collections.abc import Iterable

from django.core.management.base import CommandError


def is_confirmed(name: str, kind: str, lost: Iterable[str]) -> bool:
    """Whether somebody types the ``name`` of this ``kind`` of thing once they know what is ``lost``.

    Raises CommandError where nobody can.
    """
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here whether to delete it. If you are sure, add --no-input.")
    lines = "\n".join(f"    {line}" for line in lost)
    print(f"This deletes, for good:\n\n{lines}\n")
    return input(f"Type the {kind}'s name, {name}, to delete it: ") == name
