"""Which database each model is on, who decided that, and why: the routers are asked as Django asks them.

What the routers of the topology have in mind is in ``dbrouting/reasons.py``. Nothing here needs a database.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, NamedTuple

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model

from dbrouting import reasons
from dbrouting.aliases import usable_aliases
from dbrouting.overrides import OverrideRouter

OPERATIONS = ("read", "write", "migrate", "relation")

# When it is so (empty: always), and the context in which the routers say so.
Situation = tuple[str, AbstractContextManager[object]]


class Decision(NamedTuple):
    """Where an operation on a model's rows, or its table, goes; nowhere if ``alias`` is ``None``."""

    model: str
    operation: str
    alias: str | None
    router: str | None
    reason: str
    when: str = ""

    @property
    def app_label(self) -> str:
        return self.model.partition(".")[0]


class Opinion(NamedTuple):
    """What the first router said that had something to say; ``router`` is ``None`` if none had."""

    router: object | None
    answer: Any
    error: Exception | None = None

    def allows(self, by_default: bool) -> bool:
        return self.error is None and (by_default if self.router is None else bool(self.answer))


def explain(models: Iterable[type[Model]], situations: Iterable[Situation]) -> list[Decision]:
    """Every decision about ``models``, for each model in the order of ``OPERATIONS``."""
    models = list(models)
    found = [one for situation in situations for one in queries(models, situation)]
    answered = [one.alias for one in found if one.alias is not None and one.alias in connections.settings]
    found += tables(models, dict.fromkeys([*usable_aliases(), *answered]))
    ranks = {model._meta.label: rank for rank, model in enumerate(models)}
    return sorted(without_repetition(found), key=lambda one: (ranks[one.model], OPERATIONS.index(one.operation)))


def explain_rule(models: Iterable[type[Model]], for_diagram: bool = False) -> list[Decision]:
    """The rule as such: an alias that stands for many is shown as a pattern."""
    decisions = explain(models, reasons.situations(for_diagram))
    return list(dict.fromkeys(one._replace(alias=one.alias and reasons.pattern_of(one.alias)) for one in decisions))


def explain_rule_outside(models: Iterable[type[Model]], for_diagram: bool = False) -> list[Decision]:
    """The same, whatever block this is called in."""
    return Context().run(explain_rule, models, for_diagram)


def every_model() -> list[type[Model]]:
    return sorted(apps.get_models(include_auto_created=True), key=lambda model: model._meta.label)


def queries(models: Iterable[type[Model]], situation: Situation) -> list[Decision]:
    when, context = situation
    with context:
        return [one for model in models for one in queries_of(model, when)]


def queries_of(model: type[Model], when: str) -> Iterator[Decision]:
    yield query("read", model, when)
    yield query("write", model, when)
    yield from refused_relations(model, when)


def query(operation: str, model: type[Model], when: str = "") -> Decision:
    opinion = first_opinion(f"db_for_{operation}", model)
    if opinion.error:
        return decision(opinion, operation, model, None, when)
    return decision(opinion, operation, model, opinion.answer or DEFAULT_DB_ALIAS, when)


def tables(models: Iterable[type[Model]], aliases: Collection[str]) -> Iterator[Decision]:
    for model in models:
        meta = model._meta
        if meta.proxy or not meta.managed:
            reason = f"a proxy, in the table of {home_label(model)}" if meta.proxy else "managed = False: no migration"
            yield Decision(meta.label, "migrate", None, None, reason)
            continue
        opinions = {alias: table_opinion(model, alias) for alias in aliases}
        homes = [alias for alias, opinion in opinions.items() if opinion.allows(by_default=True)]
        yield from (decision(opinions[alias], "migrate", model, alias) for alias in homes)
        if not homes:
            patterns = dict.fromkeys(map(reasons.pattern_of, aliases))
            yield Decision(meta.label, "migrate", None, None, f"allowed on none of {', '.join(patterns)}")


def home_label(proxy: type[Model]) -> str:
    return (proxy._meta.concrete_model or proxy)._meta.label


def table_opinion(model: type[Model], alias: str) -> Opinion:
    hints = {"model_name": model._meta.model_name, "model": model}
    return first_opinion("allow_migrate", alias, model._meta.app_label, **hints)


def refused_relations(model: type[Model], when: str) -> Iterator[Decision]:
    """Those to objects that are where their model is written."""
    for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
        target = field.related_model
        if not isinstance(target, type):
            continue
        here, there = query("write", model), query("write", target)
        if here.alias is None or there.alias is None:
            continue
        # Read from nowhere, with every field deferred: no default is computed, and no query made.
        pair = (model.from_db(here.alias, [], []), target.from_db(there.alias, [], []))
        opinion = first_opinion("allow_relation", *pair)
        if not opinion.allows(by_default=here.alias == there.alias):
            reason = f"{field.name}: {target._meta.label} is on {there.alias}"
            yield decision(opinion, "relation", model, None, when)._replace(reason=reason)


def first_opinion(method: str, *args: Any, **hints: Any) -> Opinion:
    """As ``django.db.utils.ConnectionRouter`` finds it; an empty alias is no opinion, a ``False`` is one."""
    for candidate in router.routers:
        ask = getattr(candidate, method, None)
        if ask is None:
            continue
        try:
            answer = ask(*args, **hints)
        except Exception as error:  # a router may refuse to answer in any way it likes
            return Opinion(candidate, None, error)
        if answer or (answer is not None and method.startswith("allow_")):
            return Opinion(candidate, answer)
    return Opinion(None, None)


def decision(opinion: Opinion, operation: str, model: type[Model], alias: str | None, when: str = "") -> Decision:
    path = None if opinion.router is None else path_of(opinion.router)
    return Decision(model._meta.label, operation, alias, path, why(opinion, operation, model, alias), when)


def path_of(candidate: object) -> str:
    return f"{type(candidate).__module__}.{type(candidate).__qualname__}"


def why(opinion: Opinion, operation: str, model: type[Model], alias: str | None) -> str:
    if opinion.router is None:
        return "no router has an opinion"
    if opinion.error:
        return f"raises {type(opinion.error).__name__}"
    if isinstance(opinion.router, OverrideRouter):
        return f"in_database({alias!r}) is in force"
    return reasons.why(opinion.router, operation, model, alias) or first_line(type(opinion.router).__doc__)


def first_line(docstring: str | None) -> str:
    """All that is known of a router that somebody else wrote."""
    return (docstring or "").strip().partition("\n")[0]


def without_repetition(decisions: list[Decision]) -> list[Decision]:
    """What is decided alike in every situation is always so."""
    asked: dict[tuple[str, str], set[str]] = {}
    answers: dict[Decision, set[str]] = {}
    for one in decisions:
        asked.setdefault((one.model, one.operation), set()).add(one.when)
        answers.setdefault(one._replace(when=""), set()).add(one.when)
    always = {one for one, whens in answers.items() if whens == asked[one.model, one.operation]}
    return list(dict.fromkeys(one._replace(when="") if one._replace(when="") in always else one for one in decisions))
