"""``show_routing`` says what the routers say, who of them decides, and why; it needs no database."""

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Model

from accounts.models import User
from catalogue.models import Product
from dbrouting.aliases import usable_aliases
from dbrouting.diagram import mermaid
from dbrouting.explaining import Decision, every_model, explain
from dbrouting.overrides import in_database
from dbrouting.routing_table import routing_table
from orders.models import Order, OrderLine

Asked = Callable[..., list[Decision]]


class Archive:
    """Old orders are kept apart.

    For ten years.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return "archive" if model is Order else None

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return False if isinstance(first, OrderLine) else None


def output_of(*arguments: str) -> str:
    out = StringIO()
    call_command("show_routing", *arguments, stdout=out)
    return out.getvalue()


def decided(model: type[Model], operation: str) -> list[Decision]:
    return [one for one in explain([model], [("", nullcontext())]) if one.operation == operation]


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A router of somebody else's, before the project's own."""
    monkeypatch.setitem(router.__dict__, "routers", [Archive(), *router.routers])


def test_the_diagram_of_the_readme_is_what_the_command_prints() -> None:
    readme = (settings.BASE_DIR / "README.md").read_text("utf-8")

    [diagram] = re.findall(r"```mermaid\n(.*?)```", readme, flags=re.DOTALL)

    assert diagram == output_of("--mermaid"), "Paste what `show_routing --mermaid` prints into README.md."


def test_every_operation_on_every_model_is_explained() -> None:
    rows = json.loads(output_of("--json"))

    assert set(rows[0]) == {"model", "operation", "alias", "router", "reason", "when"}
    explained = {(row["model"], row["operation"]) for row in rows if row["reason"]}
    operations = ("read", "write", "migrate")
    assert explained >= {(model._meta.label, operation) for model in every_model() for operation in operations}


def test_the_answers_are_what_queries_get() -> None:
    for model in every_model():
        [read], [write] = decided(model, "read"), decided(model, "write")
        assert (read.alias, write.alias) == (router.db_for_read(model), router.db_for_write(model))
        assert all(router.allow_migrate_model(one.alias or "", model) for one in decided(model, "migrate"))


def test_a_router_of_somebody_elses_is_named_with_what_it_says_of_itself(archive: None) -> None:
    [read], [write] = decided(Order, "read"), decided(Order, "write")

    assert read[2:5] == ("archive", f"{__name__}.Archive", "Old orders are kept apart.")
    assert write.router != f"{__name__}.Archive"  # it has no such method
    assert decided(Product, "read")[0].router != f"{__name__}.Archive"  # it has no opinion


def test_where_no_router_has_an_opinion_django_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(router.__dict__, "routers", [])

    [write] = decided(Order, "write")

    assert write[2:5] == (DEFAULT_DB_ALIAS, None, "no router has an opinion")
    assert [one.alias for one in decided(Order, "migrate")] == usable_aliases()
    assert decided(OrderLine, "relation") == []


def test_an_empty_answer_is_no_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Archive, "db_for_read", lambda self, model, **hints: "")
    monkeypatch.setitem(router.__dict__, "routers", [Archive(), *router.routers])

    assert decided(Order, "read")[0].alias == router.db_for_read(Order)


def test_an_override_in_force_is_named() -> None:
    home = router.db_for_write(Order)

    with in_database(home, write=True):
        [write] = decided(Order, "write")

    assert write.reason == f"in_database({home!r}) is in force"


def test_a_refused_relation_is_shown(archive: None) -> None:
    [refused] = decided(OrderLine, "relation")

    assert (refused.alias, refused.router) == (None, f"{__name__}.Archive")
    assert refused.reason.startswith("order: orders.Order is on ")
    assert decided(Product, "relation") == []


def test_a_refused_many_to_many_relation_is_shown(archive: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Archive, "allow_relation", lambda self, first, second, **hints: False)

    assert any(refused.reason.startswith("groups: auth.Group is on ") for refused in decided(User, "relation"))


def test_a_model_that_no_migration_makes_has_its_table_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Order._meta, "managed", False)

    [migrate] = decided(Order, "migrate")

    assert (migrate.alias, migrate.reason) == (None, "managed = False: no migration")


def test_apps_and_models_narrow_it() -> None:
    rows = json.loads(output_of("--json", "orders", "accounts.User"))

    assert {row["model"] for row in rows} == {Order._meta.label, OrderLine._meta.label, User._meta.label}


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match=r"called shelves\. Apps with models: .*orders"):
        output_of("shelves")


def test_a_row_is_for_all_that_agree_and_names_the_models_of_an_app_that_do_not() -> None:
    def row(model: str, operation: str, alias: str) -> Decision:
        return Decision(model, operation, alias, "shop.routers.Shop", "because")

    table = routing_table(
        [
            *(row(model, "read", "one") for model in ("tea.Leaf", "tea.Pot", "milk.Jug", "cake.Slice", "cake.Fork")),
            *(row(model, "write", "one") for model in ("tea.Leaf", "tea.Pot", "milk.Jug")),
            *(row(model, "write", "two") for model in ("cake.Slice",)),
        ]
    )

    assert [re.split(r"  +", line) for line in table.splitlines() if line][1:] == [
        ["tea, milk", "read, write", "one", "because (Shop)"],
        ["cake.Slice", "read", "one", "because (Shop)"],
        ["", "write", "two", "because (Shop)"],
        ["cake.Fork", "read", "one", "because (Shop)"],
    ]


def test_names_can_not_break_the_diagram() -> None:
    chart = mermaid([Decision("tea.Leaf", "read", 'a"b', None, "")])

    assert '[("a#quot;b")]' in chart
