"""Relations that lead out of a database, where nothing can be joined, constrained or cascaded.

Where a model is, the routers know: wherever its table may be made. Which databases there are, a topology says.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  Django's name for it
from django.db import router
from django.db.models import DO_NOTHING, Field, ManyToManyField, Model, deletion

# Of Django 6.1; nothing is an instance of an empty tuple.
DATABASE_ON_DELETE: Any = getattr(deletion, "DatabaseOnDelete", ())

AnyField: TypeAlias = "Field[Any, Any] | GenericForeignKey"


class Databases(NamedTuple):
    """The databases that can be told apart without asking any, and how to talk of them.

    ``names`` has an alias of each kind, with what a message calls it; ``remedy`` brings two apps together, and
    ``reference`` is the field between those that stay apart, if there is one.
    """

    names: Mapping[str, str]
    remedy: str
    reference: str = ""

    def of(self, model: type[Model]) -> frozenset[str]:
        """The aliases that may have the table of ``model``; a proxy's is that of its concrete model."""
        concrete = model._meta.concrete_model or model
        return frozenset(alias for alias in self.names if router.allow_migrate_model(alias, concrete))

    def where(self, model: type[Model]) -> str:
        here = self.of(model)
        return " and ".join(name for alias, name in self.names.items() if alias in here)

    def are_crossed(self, source: type[Model], target: type[Model]) -> bool:
        """Whether some database has the rows of ``source`` without those of ``target``.

        A model that is nowhere is reported as that.
        """
        return bool(self.of(target)) and not self.of(source) <= self.of(target)


def relations_across(databases: Databases, error_id: str) -> list[CheckMessage]:
    """What to say of every field whose other end is in another database; a plain relation's id is the topology's."""
    return [
        message
        for model in apps.get_models()
        for field in fields_of(model)
        if (message := fault_of(field, databases, error_id))
    ]


def fields_of(model: type[Model]) -> Iterator[AnyField]:
    """The relations that ``model`` itself declares; a generic foreign key speaks for its foreign key, too."""
    generic = [field for field in model._meta.private_fields if isinstance(field, GenericForeignKey)]
    parts = {field.ct_field for field in generic}
    fields = (*model._meta.local_fields, *model._meta.local_many_to_many)
    yield from generic
    yield from (field for field in model._meta.private_fields if isinstance(field, GenericRelation))
    yield from (field for field in fields if field.is_relation and field.name not in parts)


def fault_of(field: AnyField, databases: Databases, error_id: str) -> CheckMessage | None:
    source = field.model
    target = next((target for target in targets_of(field) if databases.are_crossed(source, target)), None)
    if target is None or getattr(field, "crosses_databases", False):
        return None
    sentence = (
        f"{source._meta.label}.{field.name} relates {source._meta.app_label}, in {databases.where(source)}, "
        f"to {target._meta.app_label}, in {databases.where(target)}."
    )
    if is_loose(field):
        return Warning(
            sentence,
            hint="Nothing is constrained or cascaded, but filter(), select_related() and subqueries can't follow it, "
            f"and a deleted row leaves its id behind. Query by ids; or {databases.remedy}.",
            obj=source,
            id="dbrouting.W002",
        )
    hint = f"{way_out(field, databases.reference)}, or {databases.remedy}."
    return Error(sentence, hint=hint, obj=source, id=id_of(field, error_id))


def targets_of(field: AnyField) -> list[type[Model]]:
    """The models whose tables must be beside the field's own; Django reports the names that lead nowhere."""
    if isinstance(field, GenericForeignKey):
        return [ContentType]
    through = field.remote_field.through if isinstance(field, ManyToManyField) else None
    return [target for target in (field.related_model, through) if isinstance(target, type)]


def is_loose(field: AnyField) -> bool:
    """Whether the field asks for nothing on its own, neither of the database nor when a row is deleted."""
    remote = getattr(field, "remote_field", None)
    is_constrained = getattr(field, "db_constraint", True) and field.model._meta.managed
    is_promised = is_constrained or getattr(remote, "parent_link", False)
    return not is_promised and getattr(remote, "on_delete", None) is DO_NOTHING


def id_of(field: AnyField, error_id: str) -> str:
    if isinstance(field, GenericForeignKey):
        return "dbrouting.E005"
    return "dbrouting.E006" if isinstance(field, GenericRelation) else error_id


def way_out(field: AnyField, reference: str) -> str:
    """What to write instead, for those who want the apps to stay apart."""
    remote = getattr(field, "remote_field", None)
    on_delete = getattr(remote, "on_delete", None)
    key = f"Use {reference}" if reference else "Store the id in a plain indexed field"
    if isinstance(field, GenericForeignKey):
        each = f", or have a {reference} for each model that it leads to" if reference else ""
        return f'Its content types are beside it or nowhere. Store a label such as "shop.order" and the id{each}'
    if isinstance(field, GenericRelation):
        return "Query the other model by label and id instead"
    if isinstance(field, ManyToManyField):
        return f"Store the pairs of ids in a model of your own{reference and f', with {reference}'}"
    if getattr(remote, "parent_link", False):
        return "Inherit from an abstract model"
    if isinstance(on_delete, DATABASE_ON_DELETE):
        return f"{on_delete} is done by the database, which has no other's rows. {key}"
    if not getattr(field, "db_constraint", True):
        name = getattr(on_delete, "__name__", "on_delete")
        unless = f"use {reference}" if reference else "use DO_NOTHING"
        return f"Without a constraint, {name} still looks for rows beside the one that is deleted: {unless}"
    return key
