"""Decisions as a Mermaid flowchart: who decides, and where the queries go."""

import re
from collections import defaultdict
from collections.abc import Iterable
from textwrap import wrap

from django.db import router

from dbrouting import reasons
from dbrouting.explaining import Decision, path_of
from dbrouting.routing_table import short

LABEL_WIDTH = 34
SOURCE = 'code["views, commands, tests"]'


class Nodes:
    """Each is described where it is named first; its id is one that Mermaid gives no meaning to."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def database(self, alias: str) -> str:
        return self._node("database", alias, '[("{}")]')

    def other(self, kind: str, text: str) -> str:
        return self._node(kind, text, '["{}"]')

    def _node(self, kind: str, text: str, shape: str) -> str:
        if text in self._ids:
            return self._ids[text]
        number = 1 + sum(name.startswith(kind) for name in self._ids.values())
        self._ids[text] = f"{kind}{number}"
        return self._ids[text] + shape.format(quoted(text))


def mermaid(decisions: Iterable[Decision]) -> str:
    """The chart of the rule; tables are left out, for they are where the rows are."""
    nodes = Nodes()
    asked = [one for one in decisions if one.operation in ("read", "write") and one.reason not in reasons.EVERYWHERE]
    apps = {one.app_label for one in asked}
    edges: dict[tuple[str | None, str, str | None, str], list[Decision]] = defaultdict(list)
    for one in asked:
        edges[one.router, one.when, one.alias, one.reason if one.alias is None else ""].append(one)
    lines = ["flowchart LR"]
    for path in in_order({one.router for one in asked}):
        source = SOURCE if len(lines) == 1 else "code"
        lines.append(f"    {source} --> {nodes.other('router', short(path) or 'no router')}")
    for (path, when, alias, reason), found in edges.items():
        decider = nodes.other("router", short(path) or "no router")
        target = nodes.other("error", reason) if alias is None else nodes.database(alias)
        lines.append(f'    {decider} -- "{label_of(when, found, apps)}" --> {target}')
    for origin, target, what in reasons.LINKS:
        lines.append(f'    {nodes.database(origin)} -. "{quoted(what)}" .-> {nodes.database(target)}')
    return "\n".join(lines)


def in_order(paths: set[str | None]) -> list[str | None]:
    """As they are asked; last, what none of them decides."""
    asked = [path_of(candidate) for candidate in router.routers]
    return [path for path in (*asked, None) if path in paths]


def label_of(when: str, decisions: list[Decision], all_apps: set[str]) -> str:
    operations: dict[str, set[str]] = defaultdict(set)
    for one in decisions:
        operations[one.app_label].add(one.operation)
    alike: dict[str, list[str]] = defaultdict(list)
    for app_label, found in operations.items():
        prefix = "" if len(found) == 2 else f"{''.join(found)}s of "
        alike[prefix].append(app_label)
    names = {prefix: "all apps" if set(labels) == all_apps else ", ".join(labels) for prefix, labels in alike.items()}
    text = "; ".join(f"{prefix}{labels}" for prefix, labels in names.items())
    return "<br>".join(quoted(line) for line in wrap(f"{when}: {text}" if when else text, LABEL_WIDTH))


def quoted(text: str) -> str:
    """Safe between the quotes of Mermaid, where an entity stands for what would end them."""
    return re.sub(r'["#<>]', lambda match: {'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;"}[match[0]], text)
