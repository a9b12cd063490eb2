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


class ReferenceChangeList(ChangeList):
    """Django's joins whatever a list shows of other models; this one joins foreign keys, and prefetches references."""

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        shown = list(relations_shown(self.model, self.list_display))
        if isinstance(self.list_select_related, bool):
            joined = [field.name for field in shown if not isinstance(field, CrossDatabaseForeignKey)]
            qs = qs.select_related(*joined) if joined else qs
        else:
            qs = qs.select_related(*self.list_select_related) if self.list_select_related else qs
        return qs.prefetch_related(*(field.name for field in shown if isinstance(field, CrossDatabaseForeignKey)))


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


def field_named(model: type[Model], name: Any) -> Any:
    """``None`` for what is no field: a method, a function, a lookup."""
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def faults_of_admins() -> Iterator[CheckMessage]:
    """What would be an error when the page is opened."""
    if not apps.is_installed("django.contrib.admin"):
        return
    for site in all_sites:
        for model_admin in site._registry.values():
            yield from faults_of(model_admin)


def faults_of(model_admin: "ModelAdmin[Any]") -> Iterator[CheckMessage]:
    model, name = model_admin.model, type(model_admin).__qualname__
    if any(relations_shown(model, model_admin.list_display)) and would_join(model_admin):
        yield Error(
            f"{name} lists relations of {model._meta.label}, and would join what a CrossDatabaseForeignKey refers to.",
            hint=f"class {name}(ReferencesMixin, …), from dbrouting.reference_admin, prefetches it.",
            obj=type(model_admin),
            id="dbrouting.E208",
        )
    for option in ("search_fields", "ordering", "list_filter"):
        for path in getattr(model_admin, option) or ():
            if isinstance(path, str) and (field := reference_on(model, path)):
                yield Error(
                    f"{name}.{option} has {path!r}, which leads over {field} into another database.",
                    hint=f"Name {field.name} or a field of {field.model._meta.label} itself.",
                    obj=type(model_admin),
                    id="dbrouting.E209",
                )


def would_join(model_admin: "ModelAdmin[Any]") -> bool:
    """Some versions of Django join what is shown, others all that can't be empty, and what that refers to."""
    is_ours = isinstance(model_admin, ReferencesMixin)
    is_told = not isinstance(model_admin.list_select_related, bool)
    shown = relations_shown(model_admin.model, model_admin.list_display)
    is_shown = any(isinstance(field, CrossDatabaseForeignKey) for field in shown)
    return not is_ours and not is_told and (is_shown or leads_to_reference(model_admin.model))


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
    names = path.lstrip("-^=@").split(LOOKUP_SEP)
    for position, name in enumerate(names):
        field = field_named(model, name)
        if field is None or not isinstance(target := field.related_model, type):
            return None
        beyond = names[position + 1 :]
        if isinstance(field, CrossDatabaseForeignKey):
            is_key = not beyond or beyond[0] in ("pk", field.target_field.name)
            return None if is_key else field
        model = target
    return None
