"""What can be done about a message: functions by name, each with the database in which it does it."""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from django.apps import apps

from dbrouting.routers import home_of

Handle = Callable[[Any], Any]


class Answer(Enum):
    """What a handler may return."""

    MORE = "There is more to do: commit this part, and call me again."


MORE = Answer.MORE


class OutboxError(Exception):
    """A message can't be sent or handled; the error says why."""


class Handler(NamedTuple):
    """``on`` is the label of the app whose rows ``handle`` writes, or a function of the payload that gives it."""

    handle: Handle
    on: str | Callable[[Any], str]

    def alias(self, payload: Any) -> str:
        """Looked up for each message: the app may have moved since it was sent."""
        label = self.on if isinstance(self.on, str) else self.on(payload)
        return home_of(apps.get_app_config(label).label)


HANDLERS: dict[str, Handler] = {}


def handler(name: str, *, on: str | Callable[[Any], str]) -> Callable[[Handle], Handle]:
    """Have a function called with the payload of each message to ``name``, in a transaction where the app ``on`` lives.

    Write it in ``handlers.py`` of an app, where it is found. What it writes in that database it writes once, whatever
    crashes; what it does elsewhere, such as sending a mail, it may do more than once. It returns ``MORE`` to be called
    again, in a transaction of its own, after the part that it has done.

    >>> @handler("billing.refund", on="billing")
    ... def refund(payload): ...
    """

    def register(handle: Handle) -> Handle:
        if name in HANDLERS:
            raise ValueError(f"There is a handler {name!r} already: {HANDLERS[name].handle.__module__}.")
        HANDLERS[name] = Handler(handle, on)
        return handle

    return register


def handler_named(name: str) -> Handler:
    if name not in HANDLERS:
        known = ", ".join(sorted(HANDLERS))
        raise OutboxError(f"There is no handler {name!r} in any <app>/handlers.py. There are: {known}.")
    return HANDLERS[name]
