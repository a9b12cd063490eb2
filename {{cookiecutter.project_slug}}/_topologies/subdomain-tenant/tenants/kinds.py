"""What blueprints and copies need from an engine; ``tenants/engine_places.py`` has it for this project's."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

# What is in a place: definitions, and rows without dates, under a name that a person understands. Two places are equal
# if these are; nothing in them says which place it is.
Contents = Mapping[str, Hashable]


class PlaceKind(Protocol):
    def make(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool:
        """Make the place from the blueprint; False if there is none."""

    def has_blueprint(self, connection: BaseDatabaseWrapper, fingerprint: str) -> bool: ...

    def draft(self, scratch: BaseDatabaseWrapper, migrate: Callable[[BaseDatabaseWrapper], None]) -> str:
        """Make ``scratch`` as places will be made from the blueprint; gives the script, if that is how."""

    def contents(self, connection: BaseDatabaseWrapper) -> Contents: ...

    def keep(self, scratch: BaseDatabaseWrapper, fingerprint: str, script: str) -> None:
        """Make the blueprint of what ``draft`` gave: at one stroke, or not at all."""

    def remove_outdated(self, scratch: BaseDatabaseWrapper, fingerprint: str) -> None:
        """Remove the blueprints of others than ``fingerprint``."""

    def copy_rows(self, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, without: Sequence[str]) -> None:
        """Give ``target``, which was just made, the rows that ``source`` has at one moment, but for some tables'."""
