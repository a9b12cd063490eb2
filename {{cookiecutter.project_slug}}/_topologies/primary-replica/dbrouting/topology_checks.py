"""System checks of a project whose one database has replicas; those of the replicas are beside it."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from dbrouting import replica_checks
from dbrouting.aliases import usable_aliases
from dbrouting.checks import TAG, router_classes, unrouted_models
from dbrouting.relations import Databases, relations_across
from dbrouting.replicas import is_replica, primary_alias
from dbrouting.routers import PrimaryReplicaRouter

SETTINGS = replica_checks.SETTINGS
ROUTER = f"{PrimaryReplicaRouter.__module__}.{PrimaryReplicaRouter.__qualname__}"


@register(TAG)
def check_router_is_last(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """It answers for every model, so that a router behind it is never asked."""
    if any(issubclass(last, PrimaryReplicaRouter) for last in router_classes()[-1:]):
        return []
    return [
        Error(
            f"{ROUTER} is not the last of DATABASE_ROUTERS.",
            hint="Put it at the end: it answers for every model that no router before it claims.",
            id="dbrouting.E104",
        )
    ]


@register(TAG)
def check_every_model_has_a_home(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A primary that is missing is reported as that."""
    return unrouted_models(usable_aliases()) if primary_alias() in usable_aliases() else []


@register(TAG)
def check_relations_stay_in_one_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Apps that a router of the project's own has put elsewhere."""
    names = {alias: repr(alias) for alias in usable_aliases() if not is_replica(alias)}
    return relations_across(Databases(names, "have the routers put both on one alias"), "dbrouting.E110")
