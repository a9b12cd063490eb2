"""What blueprints and copies need from an engine; ``tenants/places/isolation.py`` has it for this project's."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import ClassVar, Protocol

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from dbrouting.provisioning import drop_database
from tenants.models import Blueprint

# What is in a place: definitions, and rows without dates, under a name that a person understands. Two places are equal
# if these are; nothing in them says which place it is.
Contents = Mapping[str, Hashable]


class NoBlueprintError(Exception):
    """Only ``migrate`` can make what the migrations leave; the message says why."""


class PlaceKind(Protocol):
    def make(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        """Make the place from the blueprint; False if there is none."""

    def has_blueprint(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool: ...

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        """Make ``scratch`` as places will be made from the blueprint; gives the script, if that is how.

        Raises NoBlueprintError if it can't be done.
        """

    def contents(self, connection: BaseDatabaseWrapper) -> Contents: ...

    def keep(self, scratch: BaseDatabaseWrapper, fingerprint: str, script: str) -> None:
        """Make the blueprint of what ``draft`` gave: at one stroke, or not at all."""

    def remove_outdated(self, scratch: BaseDatabaseWrapper, fingerprint: str) -> None:
        """Remove the blueprints of others than ``fingerprint``."""

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        """Give ``target``, which was just made, the rows that ``source`` has at one moment, but for some tables'."""


class Scripted:
    """What those have in common whose blueprint is a script in the shared database; a process reads it once."""

    known: ClassVar[dict[str, str]] = {}

    def run(self, connection: BaseDatabaseWrapper, script: str) -> None:
        """Make the place by ``script``."""
        raise NotImplementedError

    def script(self, fingerprint: str) -> str | None:
        if fingerprint not in self.known:
            found = Blueprint.objects.filter(fingerprint=fingerprint, refusal="").first()
            if found is None:
                return None
            self.known[fingerprint] = found.script
        return self.known[fingerprint]

    def make(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        script = self.script(fingerprint)
        if script is None:
            return False
        self.run(connection, script)
        return True

    def has_blueprint(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        return self.script(fingerprint) is not None

    def rehearse(self, scratch: BaseDatabaseWrapper, script: str) -> str:
        """Make ``scratch`` anew by the script that tells how; gives it if that can be done."""
        drop_database(scratch)
        try:
            self.run(scratch, script)
        except DatabaseError as error:
            raise NoBlueprintError(f"what they do can't be repeated: {error}") from error
        return script

    def keep(self, scratch: BaseDatabaseWrapper, fingerprint: str, script: str) -> None:
        self.known.clear()
        Blueprint.objects.update_or_create(fingerprint=fingerprint, defaults={"script": script, "refusal": ""})

    def remove_outdated(self, scratch: BaseDatabaseWrapper, fingerprint: str) -> None:
        """There is nothing of them but rows."""
