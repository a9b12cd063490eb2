"""Models that the routers put nowhere, or where nobody looks; no database is asked."""

from collections import defaultdict

from django.apps import apps
from django.db import connections

from dbrouting import reasons
from dbrouting.explaining import every_model, explain_rule_outside
from dbrouting.inspection.findings import MANAGE, Finding, Findings, listed

# Operation → aliases.
Homes = dict[str, set[str]]


def findings_about_routing() -> Findings:
    homes: dict[str, Homes] = defaultdict(lambda: defaultdict(set))
    undecided: set[str] = set()
    everywhere: set[str] = set()
    for one in explain_rule_outside(every_model()):
        aliases = homes[one.model][one.operation]
        if one.alias is not None:
            aliases.add(source_of(one.alias))
        if one.reason in reasons.BY_DEFAULT:
            undecided.add(one.app_label)
        if one.reason in reasons.EVERYWHERE:
            everywhere.add(one.model)
    for model, found in homes.items():
        if model not in everywhere:
            yield from findings_about(model, found)
    if undecided:
        what = f"Nobody decided where these apps live: {listed(undecided)}."
        yield Finding("info", what, (f"{MANAGE} show_routing {' '.join(sorted(undecided))}",))


def source_of(alias: str) -> str:
    """The alias that ``alias`` is a copy of, where its tables come from; or itself, whether there is one or not."""
    listed_one = connections.settings.get(alias)
    return str((listed_one and listed_one["TEST"]["MIRROR"]) or alias)


def findings_about(model: str, homes: Homes) -> Findings:
    meta = apps.get_model(model)._meta
    if meta.proxy or not meta.managed:
        return
    why = (f"{MANAGE} show_routing {model}",)
    tables = homes["migrate"]
    if not tables:
        yield Finding("error", f"{model} is on no database: the routers allow its table nowhere.", why)
    elif without := (homes["read"] | homes["write"]) - tables:
        what = f"{model} is read from or written to {listed(without)}, where the routers allow it no table."
        yield Finding("error", what, why)
    elif idle := tables - homes["write"] - homes["read"]:
        yield Finding("warning", f"{model} has a table on {listed(idle)}, which nothing reads or writes.", why)
