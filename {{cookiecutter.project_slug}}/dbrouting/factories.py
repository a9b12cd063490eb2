"""Factories that write where the router says, in tests and in management commands alike."""

from contextlib import nullcontext
from typing import Any, TypeVar

from django.db.models import Manager, Model, QuerySet
from factory.django import DjangoModelFactory

from dbrouting.overrides import in_database

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
    def _generate(cls, strategy: str, params: dict[str, Any]) -> M:
        """Sub-factories follow ``Meta.database``: their rows are referred to from there."""
        with in_database(alias, write=True) if (alias := cls._alias()) else nullcontext():
            made: M = super()._generate(strategy, params)
        return made

    @classmethod
    def _alias(cls) -> str | None:
        alias: str | None = cls._meta.database  # type: ignore[attr-defined]  # an option that the stubs don't know
        return alias

    @classmethod
    def _get_manager(cls, model_class: type[M]) -> Manager[M] | QuerySet[M]:
        manager: Manager[M] = getattr(model_class, "objects", model_class._default_manager)
        alias = cls._alias()
        return manager.using(alias) if alias else manager
