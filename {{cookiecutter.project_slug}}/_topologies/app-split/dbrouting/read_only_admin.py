"""The admin of models that are only read."""

from typing import Any

from django.http import HttpRequest


class ReadOnlyMixin:
    """For a ``ModelAdmin`` or an inline: ``class CustomerAdmin(ReadOnlyMixin, admin.ModelAdmin)``.

    There are lists and pages for who may view, and no form: a superuser would be offered all of them.
    """

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
