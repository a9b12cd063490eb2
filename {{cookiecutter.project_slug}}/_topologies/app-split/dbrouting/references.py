"""References to rows of another database: foreign keys that no database enforces, joins or cascades.

A reference behaves the same while both models are still in one database: the day one of them moves, nothing changes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldError
from django.db.models import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET_DEFAULT,
    SET_NULL,
    ForeignKey,
    Model,
    OneToOneField,
    QuerySet,
)
from django.db.models.deletion import Collector
from django.db.models.expressions import Col
from django.db.models.fields import BLANK_CHOICE_DASH
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor, ReverseOneToOneDescriptor
from django.db.models.fields.related_lookups import (
    RelatedExact,
    RelatedGreaterThan,
    RelatedGreaterThanOrEqual,
    RelatedIn,
    RelatedLessThan,
    RelatedLessThanOrEqual,
)
from django.db.models.lookups import Lookup
from django.db.models.sql import Query

from dbrouting.routers import home_of_model

OnDelete = Callable[..., Any]

# What refuses a deletion, and what follows it.
REFUSING = (PROTECT, RESTRICT)
NAMED_RULES = (CASCADE, DO_NOTHING, SET_DEFAULT, SET_NULL, *REFUSING)
BATCH = 500


class CrossDatabaseJoinError(FieldError):
    """A query follows a reference, and no database has the rows of both sides."""


class Lookahead:
    """What Django's collector is given in place of a declared rule: that would look for rows beside the deleted one.

    PROTECT and RESTRICT look where the rows are. That is a best effort: nothing keeps a row from being added there
    before the deletion is committed. The other rules begin when it is (``outbox/cascades.py``).
    """

    lazy_sub_objs = True  # the collector's query, which asks the wrong database, isn't run

    def __init__(self, rule: OnDelete) -> None:
        self.rule = rule

    def __call__(self, collector: Collector, field: Any, sub_objs: QuerySet[Any], using: str) -> None:
        if self.rule not in REFUSING or using != home_of_model(field.remote_field.model):
            return
        # The admin's collector adds select_related() for its list.
        if rows := list(sub_objs.using(home_of_model(field.model)).select_related(None)):
            self.rule(collector, field, rows, using)


class ReferenceDescriptor(ForwardManyToOneDescriptor):  # type: ignore[type-arg]  # takes none at run time
    """Assignment without the question whether the two objects may be related: they are where they are."""

    def __set__(self, instance: Model, value: Model | None) -> None:
        field: Any = self.field
        target = field.remote_field.model._meta.concrete_model
        if not isinstance(value, target):
            super().__set__(instance, value)  # empties the field, or says what is wrong with the value
            return
        setattr(instance, field.attname, getattr(value, field.target_field.attname))
        field.set_cached_value(instance, value)
        if not field.remote_field.multiple:
            field.remote_field.set_cached_value(value, instance)


class CrossDatabaseForeignKey(ForeignKey[Any, Any]):
    """A foreign key to a model that is in another database, or may be one day: an indexed id without a constraint."""

    forward_related_accessor_class = ReferenceDescriptor
    crosses_databases = True  # what code that knows nothing of this class asks

    def __init__(self, to: type[Model] | str, on_delete: OnDelete, **kwargs: Any) -> None:
        if kwargs.setdefault("db_constraint", False):
            raise ValueError("A CrossDatabaseForeignKey can't have a constraint: no database has both rows.")
        if on_delete not in NAMED_RULES and not is_set(on_delete):
            raise ValueError(
                f"A CrossDatabaseForeignKey can't have on_delete={on_delete}: no database has both rows. Use CASCADE, "
                "PROTECT, RESTRICT, SET_NULL, SET_DEFAULT, SET(…) or DO_NOTHING."
            )
        super().__init__(to, on_delete if on_delete is DO_NOTHING else Lookahead(on_delete), **kwargs)

    @property
    def rule(self) -> OnDelete:
        """The declared ``on_delete``."""
        on_delete: Any = self.remote_field.on_delete
        rule: OnDelete = getattr(on_delete, "rule", on_delete)
        return rule

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["db_constraint"]
        return name, path, args, {**kwargs, "on_delete": self.rule}

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """What Django advises in place of ``unique=True`` would be a field with a constraint."""
        messages = [message for message in super().check(**kwargs) if message.id != "fields.W342"]
        return [*messages, *self._check_rule()]

    def _check_rule(self) -> Iterator[CheckMessage]:
        """Django's own check of this sees no rule."""
        lacks_null = self.rule is SET_NULL and not self.null
        if lacks_null or (self.rule is SET_DEFAULT and not self.has_default()):
            lacking = "null=True" if lacks_null else "a default"
            yield Error(
                f"on_delete={name_of(self.rule)} needs {lacking}.",
                hint=f"Give the field {lacking}, or another on_delete.",
                obj=self,
                id="dbrouting.E207",
            )

    def get_extra_restriction(self, alias: str | None, related_alias: str | None) -> Any:
        """Django asks for it when it writes a join, in either direction, and not for one that it could leave out."""
        raise CrossDatabaseJoinError(
            f"{whereabouts(self)}, and a query can't join what may be apart. In place of a filter or an order by the "
            f"other's fields, first get the ids there, then filter(…__in=ids) here; in place of "
            f"select_related({self.name!r}), prefetch_related({self.name!r})."
        )

    def get_choices(
        self,
        include_blank: bool = True,
        blank_choice: Any = BLANK_CHOICE_DASH,
        limit_choices_to: Any = None,
        ordering: Any = (),
    ) -> Any:
        """The admin's filter by the rows that are referred to (``RelatedOnlyFieldListFilter``) limits by a query."""
        if isinstance(limit_choices_to, dict):
            limit_choices_to = {
                name: list(value) if isinstance(value, QuerySet) else value for name, value in limit_choices_to.items()
            }
        return super().get_choices(include_blank, blank_choice, limit_choices_to, ordering)


class ReverseReferenceDescriptor(ReverseOneToOneDescriptor):  # type: ignore[type-arg]  # takes none at run time
    """As on the side that refers, for ``user.profile = profile``."""

    def __set__(self, instance: Model, value: Model | None) -> None:
        if not isinstance(value, self.related.related_model):
            super().__set__(instance, value)  # empties the field, or says what is wrong with the value
            return
        setattr(value, self.related.field.name, instance)


class CrossDatabaseOneToOneField(CrossDatabaseForeignKey, OneToOneField[Any, Any]):
    """A reference that is unique: ``user.profile`` is one object, as with a ``OneToOneField``."""

    forward_related_accessor_class: Any = ReferenceDescriptor
    related_accessor_class = ReverseReferenceDescriptor

    def __init__(self, to: type[Model] | str, on_delete: OnDelete, **kwargs: Any) -> None:
        if kwargs.get("parent_link"):
            raise ValueError("A CrossDatabaseOneToOneField can't be a parent_link: no database has both rows to join.")
        super().__init__(to, on_delete, **kwargs)


class StaysInItsDatabase:
    """Mixed into the lookups of references: a subquery among the other side's rows is a join, too."""

    lhs: Any
    rhs: Any

    def process_rhs(self, *args: Any, **kwargs: Any) -> Any:
        field = self.lhs.output_field
        model = model_asked_by(self.rhs)
        if model is not None and is_beyond(field, model):
            raise CrossDatabaseJoinError(
                f"{whereabouts(field)}, and a query can't have a subquery among {model._meta.label}, on "
                f"{home_of_model(model)!r}. Get the ids first: {field.name}__in=list(ids), where ids is "
                "….values_list('pk', flat=True)."
            )
        return super().process_rhs(*args, **kwargs)  # type: ignore[misc]  # of the lookup that this is mixed into


LOOKUPS: "list[type[Lookup[Any]]]" = [
    RelatedExact,
    RelatedGreaterThan,
    RelatedGreaterThanOrEqual,
    RelatedIn,
    RelatedLessThan,
    RelatedLessThanOrEqual,
]
for lookup in LOOKUPS:
    CrossDatabaseForeignKey.register_lookup(type(lookup.__name__, (StaysInItsDatabase, lookup), {}))


def model_asked_by(value: Any) -> type[Model] | None:
    """The model that a subquery reads, or whose column a subquery takes from the query around it."""
    if isinstance(value, Col):
        return value.target.model
    query = getattr(value, "query", value)
    return query.model if isinstance(query, Query) else None


def is_beyond(field: CrossDatabaseForeignKey, model: type[Model]) -> bool:
    """Whether ``model`` is on the other side of ``field``: in another database, or in the app that may move to one."""
    here, there = field.model, field.remote_field.model
    is_with_the_other = model._meta.app_label == there._meta.app_label != here._meta.app_label
    return is_with_the_other or home_of_model(model) != home_of_model(here)


def whereabouts(field: CrossDatabaseForeignKey) -> str:
    here, there = field.model, field.remote_field.model
    return (
        f"{here._meta.label}.{field.name} refers from {here._meta.label}, on {home_of_model(here)!r}, to "
        f"{there._meta.label}, on {home_of_model(there)!r}"
    )


def is_set(on_delete: Any) -> bool:
    """Whether it was made by ``SET(…)``, which leaves this trace for migrations."""
    return hasattr(on_delete, "deconstruct") and on_delete.deconstruct()[0] == "django.db.models.SET"


def name_of(rule: OnDelete) -> str:
    return "SET" if is_set(rule) else rule.__name__


def references() -> list[CrossDatabaseForeignKey]:
    """All there are, each at the model whose table has its column."""
    return [
        field
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
        for field in model._meta.local_fields
        if isinstance(field, CrossDatabaseForeignKey)
    ]


def reference_named(name: str) -> CrossDatabaseForeignKey:
    """The reference whose ``str()`` is ``name``: ``"billing.Invoice.customer"``."""
    label, _, field_name = name.rpartition(".")
    field = apps.get_model(label)._meta.get_field(field_name)
    if not isinstance(field, CrossDatabaseForeignKey):
        raise LookupError(f"{name} is no CrossDatabaseForeignKey.")
    return field


def keys_without_row(field: CrossDatabaseForeignKey, keys: Iterable[Any]) -> list[Any]:
    """Those of ``keys``, at most ``BATCH``, that lead nowhere; rows that a manager hides are there.

    Texts are asked for one by one before they count as that: "Tea" and "tea" are equal to many a MySQL database.
    """
    target = field.target_field
    rows = target.model._base_manager.using(home_of_model(target.model))
    found = set(rows.filter(**{f"{target.attname}__in": keys}).values_list(target.attname, flat=True))

    def leads_to_another_spelling(key: Any) -> bool:
        return bool(found) and isinstance(key, str) and rows.filter(**{target.attname: key}).exists()

    return sorted(key for key in set(keys) - found if not leads_to_another_spelling(key))


class Replacement:
    """Takes the place of the collector that the rules of Django tell what to write."""

    value: Any = None

    def add_field_update(self, field: Any, value: Any, objs: Any) -> None:
        self.value = value


def replacement_of(field: CrossDatabaseForeignKey) -> Any:
    """What SET_NULL, SET_DEFAULT or SET(…) puts in place of a key: a key, too, or the object that has it."""
    told = Replacement()
    field.rule(told, field, (), home_of_model(field.model))
    return told.value


def apply_rule(field: CrossDatabaseForeignKey, keys: list[Any]) -> int:
    """Do what the declared rule says about at most ``BATCH`` rows that refer to ``keys``.

    Gives how many there were; fewer than ``BATCH`` are the last.
    """
    manager = field.model._base_manager.using(home_of_model(field.model))
    rows = manager.filter(**{f"{field.attname}__in": keys})
    if field.rule is not CASCADE:
        replacement = replacement_of(field)
        rows = rows.exclude(**{field.attname: replacement})  # such as a default whose row is gone itself
    found = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    batch = manager.filter(pk__in=found)
    if field.rule is CASCADE:
        batch.delete()
    else:
        batch.update(**{field.attname: replacement})
    return len(found)
