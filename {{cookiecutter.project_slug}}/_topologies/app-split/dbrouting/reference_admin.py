"""Lists of the admin whose rows refer to other databases."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.admin import ModelAdmin
from django.contrib.admin.sites import all_sites
from django.contrib.admin.views.main import ChangeList
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest

from dbrouting.references import CrossDatabaseForeignKey

# Options of a ModelAdmin that take paths to fields, and what to write there for a reference, if anything.
INSTEAD = {
    "search_fields": "={0.name}__pk",
    "ordering": "{0.attname}",
    "list_filter": "{0.name}",
    "date_hierarchy": "",
}


class ReferenceChangeList(ChangeList):
    """Django's joins whatever a list shows of other models; this one joins foreign keys, and prefetches references."""

    def get_ordering_field(self, field_name: Any) -> Any:
        """A column of references is sorted by their keys: what the other model is sorted by would be a join."""
        path = super().get_ordering_field(field_name)
        return sortable(self.model, path) if isinstance(path, str) else path

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        shown = list(relations_shown(self.model, self.list_display))
        if isinstance(self.list_select_related, bool):
            joined = [field.name for field in shown if not isinstance(field, CrossDatabaseForeignKey)]
            qs = qs.select_related(*joined) if joined else qs
        else:
            qs = qs.select_related(*self.list_select_related) if self.list_select_related else qs
        return qs.prefetch_related(*references_shown(self.model, self.list_display))


class ReferencesMixin:
    """For a ``ModelAdmin`` that shows relations: ``class InvoiceAdmin(ReferencesMixin, admin.ModelAdmin)``."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ReferenceChangeList


def relations_shown(model: type[Model], list_display: Any) -> "Iterator[ForeignKey[Any, Any]]":
    """The columns that show the other object rather than its key."""
    for name in list_display:
        field = field_named(model, name)
        if isinstance(field, ForeignKey) and name == field.name:
            yield field


def references_shown(model: type[Model], list_display: Any) -> Iterator[str]:
    """The paths to them, also where a column shows something beyond."""
    for path in list_display:
        field, beyond = first_reference(model, path) if isinstance(path, str) else (None, [])
        to_field = path.removesuffix("".join(f"{LOOKUP_SEP}{name}" for name in beyond))
        if field and reference_at_end_of(model, to_field):
            yield to_field


def field_named(model: type[Model], name: Any) -> Any:
    """``None`` for what is no field: a method, a function, a lookup."""
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def sortable(model: type[Model], path: str) -> str | None:
    """``path``, or what to sort by in its place so that no reference is joined; ``None`` if there is nothing."""
    if reference_on(model, path):
        return None
    field = reference_at_end_of(model, path)
    return path.removesuffix(field.name) + field.attname if field else path


def faults_of_admins() -> Iterator[CheckMessage]:
    """What would be an error when the page is opened."""
    if not apps.is_installed("django.contrib.admin"):
        return
    for site in all_sites:
        for model_admin in site._registry.values():
            yield from faults_of(model_admin)


def faults_of(model_admin: "ModelAdmin[Any]") -> Iterator[CheckMessage]:
    model, name = model_admin.model, type(model_admin).__qualname__
    if would_join(model_admin):
        yield Error(
            f"{name} lists relations of {model._meta.label}, and would join what a CrossDatabaseForeignKey refers to.",
            hint=f"class {name}(ReferencesMixin, …), from dbrouting.reference_admin, prefetches it.",
            obj=type(model_admin),
            id="dbrouting.E208",
        )
    for path in joined_by_name(model_admin):
        yield Error(
            f"{name}.list_select_related has {path!r}, which leads into another database.",
            hint="Leave it out: ReferencesMixin, from dbrouting.reference_admin, prefetches what list_display needs.",
            obj=type(model_admin),
            id="dbrouting.E208",
        )
    for option, instead in INSTEAD.items():
        for path in paths_in(getattr(model_admin, option)):
            if field := reference_joined_by(model, path, option):
                key = f"{instead.format(field)!r}, or " if instead else ""
                yield Error(
                    f"{name}.{option} has {path!r}, which leads over {field} into another database.",
                    hint=f"Name {key}a field of {field.model._meta.label} itself.",
                    obj=type(model_admin),
                    id="dbrouting.E209",
                )


def paths_in(option: Any) -> Iterator[str]:
    """As they are, beside the filter for them, or in an expression to order by."""
    for item in [option] if isinstance(option, str) else option or ():
        named = item[0] if isinstance(item, tuple) else getattr(item, "expression", item)
        path = getattr(named, "name", named)
        if isinstance(path, str):
            yield path


def joined_by_name(model_admin: "ModelAdmin[Any]") -> list[str]:
    told = model_admin.list_select_related
    paths = () if isinstance(told, bool) else told
    return [path for path in paths if first_reference(model_admin.model, path)[0]]


def reference_joined_by(model: type[Model], path: str, option: str) -> CrossDatabaseForeignKey | None:
    """An order by a relation is one by what the other model is sorted by, if it says."""
    end = reference_at_end_of(model, path) if option == "ordering" else None
    is_sorted_over_there = end and end.related_model._meta.ordering
    return end if is_sorted_over_there else reference_on(model, path)


def would_join(model_admin: "ModelAdmin[Any]") -> bool:
    """To show it or to sort by it. Some versions of Django join also all that can't be empty, and what it refers to."""
    if isinstance(model_admin, ReferencesMixin):
        return False
    model, columns = model_admin.model, model_admin.list_display
    shown = list(relations_shown(model, columns))
    if any(isinstance(field, CrossDatabaseForeignKey) for field in shown):
        return True
    if any(reference_on(model, path) for path in columns if isinstance(path, str)):
        return True
    return bool(shown) and isinstance(model_admin.list_select_related, bool) and leads_to_reference(model)


def leads_to_reference(model: type[Model], seen: frozenset[type[Model]] = frozenset()) -> bool:
    """Whether a reference that can't be empty is found by following foreign keys that can't, as far as Django does."""
    fields = [field for field in model._meta.fields if isinstance(field, ForeignKey) and not field.null]
    if any(isinstance(field, CrossDatabaseForeignKey) for field in fields):
        return True
    return any(
        leads_to_reference(target, seen | {model})
        for field in fields
        if isinstance(target := field.remote_field.model, type) and target not in seen
    )


def reference_on(model: type[Model], path: str) -> CrossDatabaseForeignKey | None:
    """The reference that ``path`` goes over, to more than the key on its other side."""
    field, beyond = first_reference(model, path)
    is_key = field is None or not beyond or beyond[0] in ("pk", field.target_field.name)
    return None if is_key else field


def reference_at_end_of(model: type[Model], path: str) -> CrossDatabaseForeignKey | None:
    """The reference that ``path`` names, rather than its key or what is beyond it."""
    field, beyond = first_reference(model, path)
    return field if field and not beyond and path.endswith(field.name) else None


def first_reference(model: type[Model], path: str) -> tuple[CrossDatabaseForeignKey | None, list[str]]:
    """With what ``path`` names beyond it."""
    names = path.lstrip("-^=@").split(LOOKUP_SEP)
    for position, name in enumerate(names):
        field = field_named(model, name)
        if isinstance(field, CrossDatabaseForeignKey):
            return field, names[position + 1 :]
        if field is None or not isinstance(target := field.related_model, type):
            break
        model = target
    return None, []
