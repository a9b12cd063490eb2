"""Factories that write where the router says, in tests and in management commands alike."""

from typing import TypeVar

from django.db.models import Manager, Model, QuerySet
from factory.django import DjangoModelFactory

M = TypeVar("M", bound=Model)


class RoutedModelFactory(DjangoModelFactory[M]):
    """Base of the project's factories: the router decides, unless ``Meta.database`` names an alias.

    factory_boy takes ``Meta.database = "default"`` for "not set"; here it means ``default``.
    """

    class Meta:
        abstract = True
        database = None
        skip_postgeneration_save = True

    @classmethod
    def _get_manager(cls, model_class: type[M]) -> Manager[M] | QuerySet[M]:
        manager: Manager[M] = getattr(model_class, "objects", model_class._default_manager)
        alias: str | None = vars(cls._meta)["database"]
        return manager.using(alias) if alias else manager
