"""References to rows of another database: foreign keys that no database enforces, joins or cascades."""

from collections.abc import Callable
from typing import Any

from django.db.models import ForeignKey, Model


class CrossDatabaseForeignKey(ForeignKey[Any, Any]):
    """A foreign key to a model that is in another database, or may be one day: an indexed id without a constraint."""

    crosses_databases = True  # what dbrouting/relations.py asks

    def __init__(self, to: type[Model] | str, on_delete: Callable[..., Any], **kwargs: Any) -> None:
        if kwargs.setdefault("db_constraint", False):
            raise ValueError("A CrossDatabaseForeignKey can't have a constraint: no database has both rows.")
        super().__init__(to, on_delete, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["db_constraint"]
        return name, path, args, kwargs
