"""A relation that leads out of its database is reported once, with the way out that fits it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test.utils import isolate_apps

from accounts.models import User
from dbrouting.relations import Databases, relations_across

DATABASES = Databases({"one": "'one'", "two": "'two'", "archive": "'archive'"}, "put both on one alias")
HOMES = {"orders": {"two"}, "catalogue": {"one", "two", "archive"}, "demo": set[str]()}
Build = Callable[[], list[type[models.Model]]]


class HomesRouter:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Everything else, such as users and content types, is on one."""
        return db in HOMES.get(app_label, {"one"})


@pytest.fixture
def find(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], list[tuple[str, str, str]]]:
    """The id of each message about the models that a function makes, the field it names, its hint."""

    def find(build: Build) -> list[tuple[str, str, str]]:
        settings.DATABASE_ROUTERS = [HomesRouter()]
        with isolate_apps("accounts", "catalogue", "demo", "orders"):
            made = build()
        monkeypatch.setattr(apps, "get_models", lambda: made)
        found = relations_across(DATABASES, "the topology's")
        return [(str(message.id), message.msg.partition(" ")[0], str(message.hint)) for message in found]

    return find


def model(name: str, app_label: str, *bases: type[models.Model], **attributes: Any) -> type[models.Model]:
    options = {"app_label": app_label, "proxy": attributes.pop("proxy", False)}
    meta = type("Meta", (), {**options, "managed": attributes.pop("managed", True)})
    return type(name, bases or (models.Model,), {"__module__": __name__, "Meta": meta, **attributes})


def foreign_key(**options: Any) -> Build:
    """An invoice, on two, that refers to a user, on one."""
    field = models.ForeignKey(User, **{"on_delete": models.CASCADE, "related_name": "+", **options})
    return lambda: [model("Invoice", "orders", customer=field)]


def unmanaged() -> list[type[models.Model]]:
    """No migration makes its constraint."""
    customer = models.ForeignKey(User, models.DO_NOTHING, related_name="+")
    return [model("Report", "orders", managed=False, customer=customer)]


def one_to_one() -> list[type[models.Model]]:
    return [model("Profile", "orders", user=models.OneToOneField(User, models.CASCADE, related_name="+"))]


def child() -> list[type[models.Model]]:
    parent = models.OneToOneField(User, models.CASCADE, parent_link=True, related_name="+")
    return [model("Member", "orders", User, parent=parent)]


def unconstrained_child() -> list[type[models.Model]]:
    parent = models.OneToOneField(
        User, models.DO_NOTHING, parent_link=True, related_name="+", db_constraint=False, primary_key=True
    )
    return [model("Member", "orders", User, parent=parent)]


def many_to_many() -> list[type[models.Model]]:
    return [model("Invoice", "orders", customers=models.ManyToManyField(User, related_name="+"))]


def unconstrained_many_to_many() -> list[type[models.Model]]:
    customers = models.ManyToManyField(User, related_name="+", db_constraint=False)
    return [model("Invoice", "orders", customers=customers)]


def many_to_many_through_another_database() -> list[type[models.Model]]:
    """Both ends are on one, and the pairs on two."""
    loose: dict[str, Any] = {"on_delete": models.DO_NOTHING, "db_constraint": False, "related_name": "+"}
    members = models.ManyToManyField(User, through="orders.Membership", related_name="+")
    team = model("Team", "accounts", members=members)
    to_team = models.ForeignKey(team, **loose)
    to_user = models.ForeignKey(User, models.CASCADE, related_name="+")
    return [team, model("Membership", "orders", team=to_team, user=to_user)]


def generic_foreign_key() -> list[type[models.Model]]:
    return [note("orders")]


def note(app_label: str) -> type[models.Model]:
    fields: dict[str, Any] = {
        "content_type": models.ForeignKey(ContentType, models.CASCADE, related_name="+"),
        "object_id": models.IntegerField(),
        "content_object": GenericForeignKey(),
    }
    return model("Note", app_label, **fields)


def generic_relation() -> list[type[models.Model]]:
    return [model("Invoice", "orders", notes=GenericRelation(note("accounts")))]


PLAIN = "the topology's"
CROSSING: dict[str, tuple[Build, list[tuple[str, str, str]]]] = {
    "constrained and cascading": (foreign_key(), [(PLAIN, "orders.Invoice.customer", "Store the id")]),
    "constrained": (
        foreign_key(on_delete=models.DO_NOTHING),
        [(PLAIN, "orders.Invoice.customer", "Store the id")],
    ),
    "cascading": (
        foreign_key(db_constraint=False),
        [(PLAIN, "orders.Invoice.customer", "CASCADE still looks for rows")],
    ),
    "protecting": (
        foreign_key(db_constraint=False, on_delete=models.PROTECT),
        [(PLAIN, "orders.Invoice.customer", "PROTECT still looks for rows")],
    ),
    "loose": (
        foreign_key(db_constraint=False, on_delete=models.DO_NOTHING),
        [("dbrouting.W002", "orders.Invoice.customer", "Query by ids")],
    ),
    "unmanaged": (unmanaged, [("dbrouting.W002", "orders.Report.customer", "Query by ids")]),
    "one to one": (one_to_one, [(PLAIN, "orders.Profile.user", "Store the id")]),
    "parent": (child, [(PLAIN, "orders.Member.parent", "abstract model")]),
    "loose parent": (unconstrained_child, [(PLAIN, "orders.Member.parent", "abstract model")]),
    "many to many": (many_to_many, [(PLAIN, "orders.Invoice.customers", "pairs of ids")]),
    "loose many to many": (unconstrained_many_to_many, [(PLAIN, "orders.Invoice.customers", "pairs of ids")]),
    "many to many through another database": (
        many_to_many_through_another_database,
        [
            (PLAIN, "accounts.Team.members", "pairs of ids"),
            ("dbrouting.W002", "orders.Membership.team", "Query by ids"),
            (PLAIN, "orders.Membership.user", "Store the id"),
        ],
    ),
    "generic foreign key": (
        generic_foreign_key,
        [("dbrouting.E005", "orders.Note.content_object", "Store a label")],
    ),
    "generic relation": (generic_relation, [("dbrouting.E006", "orders.Invoice.notes", "by label and id")]),
}
# Django 6.1's: the database itself deletes or empties what refers to a row.
for rule in ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"):
    if hasattr(models, rule):
        build = foreign_key(on_delete=getattr(models, rule), null=True)
        CROSSING[rule] = (build, [(PLAIN, "orders.Invoice.customer", f"{rule} is done by the database")])


@pytest.mark.parametrize(("build", "expected"), CROSSING.values(), ids=CROSSING)
def test_what_leads_out_of_a_database(find: Any, build: Build, expected: list[tuple[str, str, str]]) -> None:
    found = find(build)

    assert [message[:2] for message in found] == [message[:2] for message in expected]
    for (*_, hint), (*_, advice) in zip(found, expected, strict=True):
        assert advice in hint
        assert "put both on one alias" in hint


@pytest.mark.parametrize(
    "build",
    [
        foreign_key(),
        foreign_key(db_constraint=False),
        *([foreign_key(on_delete=models.DB_CASCADE)] if hasattr(models, "DB_CASCADE") else []),
        one_to_one,
        many_to_many,
        generic_foreign_key,
    ],
)
def test_the_way_out_is_the_topologys_own_field_if_it_has_one(
    find: Any, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(find.__globals__, "DATABASES", DATABASES._replace(reference="Reference"))

    [(*_, hint)] = find(build)

    assert re.search(r"\b(use|with|have a) Reference\b", hint, flags=re.IGNORECASE)


def test_the_topologys_own_field_may_lead_out(find: Any) -> None:
    field = models.ForeignKey(User, models.CASCADE, related_name="+")
    field.crosses_databases = True  # type: ignore[attr-defined]  # as such a field's class says

    assert find(lambda: [model("Invoice", "orders", customer=field)]) == []


def within_one_database() -> list[type[models.Model]]:
    """A proxy belongs to another app than its table."""
    invoice = model("Invoice", "orders")
    customer = model("Customer", "orders", User, proxy=True)
    line = model("Line", "orders", invoice=models.ForeignKey(invoice, models.CASCADE))
    favourite = model("Favourite", "accounts", customer=models.ForeignKey(customer, models.CASCADE, related_name="+"))
    return [invoice, customer, line, favourite]


def to_what_is_everywhere() -> list[type[models.Model]]:
    currency = model("Currency", "catalogue")
    return [currency, model("Invoice", "orders", currency=models.ForeignKey(currency, models.CASCADE))]


def to_what_is_nowhere() -> list[type[models.Model]]:
    """Reported as that."""
    homeless = model("Homeless", "demo")
    return [homeless, model("Invoice", "orders", homeless=models.ForeignKey(homeless, models.CASCADE))]


def to_a_name_that_leads_nowhere() -> list[type[models.Model]]:
    """Reported by Django."""
    return [model("Invoice", "orders", missing=models.ForeignKey("orders.Missing", models.CASCADE))]


def generic_beside_the_content_types() -> list[type[models.Model]]:
    found = note("accounts")
    return [found, model("Group", "accounts", notes=GenericRelation(found))]


@pytest.mark.parametrize(
    "build",
    [
        within_one_database,
        to_what_is_everywhere,
        to_what_is_nowhere,
        to_a_name_that_leads_nowhere,
        generic_beside_the_content_types,
    ],
)
def test_what_stays_in_its_database(find: Any, build: Build) -> None:
    assert find(build) == []


def test_what_is_everywhere_may_not_refer_to_what_is_on_one(find: Any) -> None:
    field = models.ForeignKey(User, models.CASCADE, related_name="+")

    assert [code for code, *_ in find(lambda: [model("Currency", "catalogue", author=field)])] == [PLAIN]
