"""The admin over models that refer to other databases."""

import json
from contextlib import ExitStack
from typing import Any
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.sites import site
from django.db import connections, models
from django.db.models import F
from django.db.models.functions import Lower
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps

from accounts.factories import UserFactory
from accounts.models import User
from billing.admin import InvoiceAdmin
from billing.factories import InvoiceFactory
from billing.models import Invoice, Payment
from dbrouting import topology_checks
from dbrouting.aliases import usable_aliases
from dbrouting.reference_admin import ReferenceChangeList, ReferencesMixin, faults_of, reference_on, sortable
from dbrouting.references import CrossDatabaseForeignKey
from orders.factories import OrderFactory

LIST = "/admin/billing/invoice/"


@pytest.fixture
def user() -> User:
    return UserFactory.create(username="ada")


@pytest.fixture
def boss(db: None, site_client: Client) -> Client:
    site_client.force_login(UserFactory.create(username="boss", is_staff=True, is_superuser=True))
    return site_client


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def queries_for_list(client: Client) -> list[int]:
    """How many each database is asked."""
    with ExitStack() as stack:
        captured = [stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in usable_aliases()]
        page(client, LIST)
    return [len(queries) for queries in captured]


def test_a_list_shows_objects_of_other_databases_without_a_query_for_each(boss: Client) -> None:
    InvoiceFactory.create()
    page(boss, LIST)
    few = queries_for_list(boss)
    for _ in range(4):
        order = OrderFactory.create(customer=UserFactory.create())
        InvoiceFactory.create(order=order)

    assert queries_for_list(boss) == few
    assert str(order) in page(boss, LIST)


@pytest.mark.parametrize("told", [False, True, ["invoice"]])
def test_a_list_joins_foreign_keys(told: Any) -> None:
    page = Mock(model=Payment, list_display=["pk", "invoice"], list_select_related=told)

    rows = ReferenceChangeList.apply_select_related(page, Payment.objects.all())

    assert rows.query.select_related == {"invoice": {}}


def test_a_list_is_shown_although_a_row_is_missing(boss: Client) -> None:
    InvoiceFactory.create(customer_id=999)
    Invoice.objects.filter(pk=InvoiceFactory.create().pk).update(order_id=999)

    assert "2 invoices" in page(boss, LIST)


def test_a_list_is_filtered_by_the_rows_that_are_referred_to(boss: Client, user: User) -> None:
    UserFactory.create(username="stranger")
    InvoiceFactory.create(order=OrderFactory.create(customer=user))
    InvoiceFactory.create(customer_id=None)
    shown = page(boss, f"{LIST}?customer__id__exact={user.pk}")

    assert "1 invoice" in shown
    assert "stranger" not in shown
    assert f"?customer__id__exact={user.pk}" in page(boss, LIST)


@pytest.mark.parametrize("column", [2, 3, 4, 5])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_list_is_sorted_by_each_of_its_columns(boss: Client, column: int, sign: str) -> None:
    first = InvoiceFactory.create()
    second = InvoiceFactory.create(order=OrderFactory.create(customer_id=first.order.customer_id + 1))
    Invoice.objects.filter(pk=second.pk).update(amount=20)
    shown = boss.get(f"{LIST}?o={sign}{column}").context["cl"].result_list

    assert list(shown) == ([second, first] if sign else [first, second])


def test_a_column_beyond_a_reference_is_shown_without_a_query_for_each_and_not_sorted_by(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site._registry[Invoice], "list_display", ["pk", "order__customer_name", "customer_id"])
    InvoiceFactory.create()
    page(boss, f"{LIST}?o=2")
    few = queries_for_list(boss)
    InvoiceFactory.create(order=OrderFactory.create(customer_name="Ada Lovelace"))

    assert queries_for_list(boss) == few
    assert "Ada Lovelace" in page(boss, f"{LIST}?o=2")


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("order", "order_id"),
        ("-order", "-order_id"),
        ("order_id", "order_id"),
        ("order__pk", "order__pk"),
        ("order__status", None),
        ("amount", "amount"),
        ("payments__amount", "payments__amount"),
    ],
)
def test_no_column_is_sorted_by_what_a_reference_leads_to(path: str, instead: str | None) -> None:
    assert sortable(Invoice, path) == instead


def test_a_form_completes_names_from_the_other_database(boss: Client, user: User) -> None:
    query = "app_label=billing&model_name=invoice&field_name=customer&term=ad"
    found = json.loads(page(boss, f"/admin/autocomplete/?{query}"))

    assert found["results"] == [{"id": str(user.pk), "text": "ada"}]


@pytest.mark.parametrize("option", ["autocomplete_fields", "raw_id_fields", "radio_fields", None])
def test_each_widget_shows_and_saves_rows_of_other_databases(
    boss: Client, user: User, monkeypatch: pytest.MonkeyPatch, option: str | None
) -> None:
    model_admin = site._registry[Invoice]
    monkeypatch.setattr(model_admin, "autocomplete_fields", ())
    if option:
        fields: Any = {"customer": admin.VERTICAL} if option == "radio_fields" else ("customer",)
        monkeypatch.setattr(model_admin, option, fields)
    invoice = InvoiceFactory.create(customer_id=user.pk)
    path = f"{LIST}{invoice.pk}/change/"
    inline = {f"payments-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}

    assert "ada" in page(boss, path)
    grace = UserFactory.create(username="grace")
    data = {"order": invoice.order_id, "customer": grace.pk, "amount": "5", **inline}
    assert boss.post(path, data).status_code == 302
    assert Invoice.objects.get().customer == grace


# Checks


def listing(*bases: type, **options: Any) -> Any:
    return type("Listing", (*bases, admin.ModelAdmin), options)


@pytest.mark.parametrize(
    ("model_admin", "model", "expected"),
    [
        (listing(list_display=["pk", "customer"]), Invoice, ["E208"]),
        (listing(list_display=["pk", "invoice"]), Payment, ["E208"]),
        (listing(ReferencesMixin, list_display=["pk", "customer"]), Invoice, []),
        (listing(list_display=["pk", "invoice"], list_select_related=["invoice"]), Payment, []),
        (listing(list_display=["pk", "customer"], list_select_related=["payments"]), Invoice, ["E208"]),
        (listing(list_display=["pk", "order_id"]), Invoice, []),
        (listing(search_fields=["amount", "=customer__username"]), Invoice, ["E209"]),
        (listing(ordering=["-order__created_at", "pk"]), Invoice, ["E209"]),
        (listing(ordering=["-order"]), Invoice, ["E209"]),
        (listing(ordering=["-order_id", "customer"]), Invoice, []),
        (listing(list_filter=["order__status", "customer", "customer__id"]), Invoice, ["E209"]),
        (listing(list_filter=[("order__status", admin.AllValuesFieldListFilter)]), Invoice, ["E209"]),
        (listing(list_filter=[("customer", admin.EmptyFieldListFilter), admin.SimpleListFilter]), Invoice, []),
        (listing(ordering=[F("order__status"), F("customer__username").desc(), Lower("pk")]), Invoice, ["E209"] * 2),
        (listing(date_hierarchy="order__created_at"), Invoice, ["E209"]),
        (listing(date_hierarchy="issued_at"), Invoice, []),
        (listing(ReferencesMixin, list_select_related=["order"]), Invoice, ["E208"]),
        (listing(list_select_related=["invoice", "invoice__customer"]), Payment, ["E208"]),
        (listing(list_display=["pk", "order__status"]), Invoice, ["E208"]),
        (listing(list_display=["pk", "order__pk"]), Invoice, []),
        (listing(ReferencesMixin, list_display=["pk", "order__status"]), Invoice, []),
        (InvoiceAdmin, Invoice, []),
    ],
)
def test_an_admin_that_would_join_a_reference_is_an_error(
    model_admin: Any, model: type[models.Model], expected: list[str]
) -> None:
    found = list(faults_of(model_admin(model, site)))

    assert [str(fault.id) for fault in found] == [f"dbrouting.{code}" for code in expected]
    assert all("Listing" in fault.msg for fault in found)


def test_every_admin_of_the_site_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert topology_checks.check_admins_join_no_references(None) == []
    monkeypatch.setattr(site._registry[Invoice], "search_fields", ["customer__username"])

    assert [error.id for error in topology_checks.check_admins_join_no_references(None)] == ["dbrouting.E209"]


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("amount", None),
        ("customer", None),
        ("customer__pk", None),
        ("customer__id__gte", None),
        ("^customer__username", "billing.Invoice.customer"),
        ("order__lines__quantity", "billing.Invoice.order"),
        ("payments__amount", None),
        ("nothing__at_all", None),
    ],
)
def test_paths_over_a_reference_are_told_from_others(path: str, reference: str | None) -> None:
    found = reference_on(Invoice, path)

    assert (found and str(found)) == reference


@isolate_apps("billing")
def test_a_many_to_many_field_over_references_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watcher(models.Model):
        user = CrossDatabaseForeignKey(User, models.CASCADE, related_name="+")
        invoice = models.ForeignKey("Watched", models.CASCADE)

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "A watcher"

    class Watched(models.Model):
        watchers = models.ManyToManyField(User, through=Watcher, related_name="+")

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "Watched"

    monkeypatch.setattr(apps, "get_models", lambda: [Watched, Watcher])

    assert [error.id for error in topology_checks.check_pairs_of_references(None)] == ["dbrouting.E210"]
