"""The admin over every database: what may be done on the pages of each registered model."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.factories import UserFactory
from accounts.models import User
from billing.factories import InvoiceFactory, PaymentFactory
from billing.models import Invoice
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.routers import home_of_model
from orders.factories import OrderFactory, OrderLineFactory
from orders.models import Order

# Rows that nothing protects from being deleted.
ROWS: dict[type[Model], Callable[[], Model]] = {
    Category: CategoryFactory.create,
    Group: lambda: Group.objects.create(name="staff"),
    Invoice: lambda: PaymentFactory.create().invoice,
    Order: lambda: OrderLineFactory.create().order,
    Product: ProductFactory.create,
    User: UserFactory.create,
}
every_model = pytest.mark.parametrize("model", site._registry, ids=lambda model: model._meta.label)


@pytest.fixture
def boss(db: None, site_client: Client) -> Client:
    site_client.force_login(UserFactory.create(username="boss", is_staff=True, is_superuser=True))
    return site_client


def row_of(model: type[Model]) -> Model:
    assert model in ROWS, f"Say in ROWS how a row of {model._meta.label} is made."
    return ROWS[model]()


def path_of(model: type[Model] | Model, page: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def page(client: Client, path: str, **query: str) -> Any:
    response = client.get(path, query)
    assert response.status_code == 200
    return response


def unchanged(response: Any) -> dict[str, Any]:
    """What a browser sends from the form of ``response`` if nobody touches it."""
    formsets = [inline.formset for inline in response.context["inline_admin_formsets"]]
    inner = [form for formset in formsets for form in (formset.management_form, *formset.forms)]
    return {
        name: value
        for form in (response.context["adminform"].form, *inner)
        for bound in form
        for name, value in sent_by(bound)
        if value is not None
    }


def sent_by(bound: Any) -> list[tuple[str, Any]]:
    """A field may be several inputs, such as a date and a time."""
    value, widget = bound.value(), bound.field.widget
    if not hasattr(widget, "decompress"):
        return [(bound.html_name, value)]
    return [(f"{bound.html_name}_{number}", part) for number, part in enumerate(widget.decompress(value))]


@every_model
def test_a_list_is_shown_and_searched(boss: Client, model: type[Model]) -> None:
    row = row_of(model)
    path = path_of(model, "changelist")

    assert path_of(model, "change", row.pk) in page(boss, path).content.decode()
    if site._registry[model].search_fields:
        assert page(boss, path, q="nobody is called that").context["cl"].result_count == 0


@every_model
def test_every_choice_of_every_filter_gives_a_list(boss: Client, model: type[Model]) -> None:
    """The first choice is always all."""
    row_of(model)
    path = path_of(model, "changelist")
    changes = page(boss, path).context["cl"]
    choices = [list(filter_.choices(changes)) for filter_ in changes.filter_specs]

    assert all(len(each) > 1 for each in choices)
    for choice in (choice for each in choices for choice in each):
        page(boss, path + choice["query_string"])


@every_model
def test_an_empty_form_is_shown(boss: Client, model: type[Model]) -> None:
    page(boss, path_of(model, "add"))


@every_model
def test_a_row_is_saved_where_it_is_and_its_history_tells(boss: Client, model: type[Model]) -> None:
    row = row_of(model)
    path = path_of(model, "change", row.pk)

    response = boss.post(path, unchanged(page(boss, path)))

    assert response.status_code == 302, response.context["errors"]
    entry = LogEntry.objects.get()
    assert (entry._state.db, entry.get_edited_object()) == ("auth_db", row)
    history = page(boss, path_of(model, "history", row.pk)).context["action_list"]
    assert [one.pk for one in history] == [entry.pk]


@every_model
@pytest.mark.parametrize("way", ["page", "action"])
def test_a_row_is_deleted_after_a_page_that_asks(boss: Client, model: type[Model], way: str) -> None:
    row = row_of(model)
    path = path_of(model, "delete", row.pk) if way == "page" else path_of(model, "changelist")
    ask = {} if way == "page" else {"action": "delete_selected", "_selected_action": row.pk}

    question = boss.post(path, ask) if ask else page(boss, path)
    assert str(row) in question.content.decode()
    assert not question.context["protected"]
    assert boss.post(path, {**ask, "post": "yes"}).status_code == 302

    assert not model._base_manager.using(home_of_model(model)).filter(pk=row.pk).exists()


@pytest.mark.parametrize("way", ["page", "action"])
def test_what_refers_from_another_database_is_shown_before_a_deletion_and_refuses_it(boss: Client, way: str) -> None:
    invoice = InvoiceFactory.create()
    order = invoice.order
    path = path_of(order, "delete", order.pk) if way == "page" else path_of(Order, "changelist")
    ask = {} if way == "page" else {"action": "delete_selected", "_selected_action": order.pk}

    question = boss.post(path, ask) if ask else page(boss, path)
    assert str(invoice) in "".join(question.context["protected"])
    boss.post(path, {**ask, "post": "yes"})

    assert Order.objects.filter(pk=order.pk).exists()


def test_an_inline_shows_and_saves_rows_of_another_database(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    inline = type("InvoiceInline", (admin.TabularInline,), {"model": Invoice})
    monkeypatch.setattr(site._registry[User], "inlines", [inline])
    invoice = InvoiceFactory.create()
    path = path_of(User, "change", invoice.customer_id)

    response = boss.post(path, {**unchanged(page(boss, path)), "invoices-0-amount": "77"})

    assert response.status_code == 302, response.context["errors"]
    assert Invoice.objects.get().amount == 77


def test_a_row_is_shown_on_the_site(boss: Client) -> None:
    """The link in the form goes by the content type, which is in another database."""
    product = ProductFactory.create()
    path = reverse("admin:view_on_site", args=[ContentType.objects.get_for_model(Product).pk, product.pk])

    assert boss.get(path)["Location"].endswith(product.get_absolute_url())


def test_a_name_is_completed_where_the_rows_are(boss: Client) -> None:
    """The select fields of a form ask for what is typed, each on behalf of its own field."""
    order = OrderFactory.create(customer=UserFactory.create(first_name="Ada", last_name="Lovelace"))
    query = {"app_label": "billing", "model_name": "invoice", "field_name": "order", "term": "love"}

    found = page(boss, reverse("admin:autocomplete"), **query).json()

    assert found["results"] == [{"id": str(order.pk), "text": str(order)}]


def test_the_row_behind_a_raw_id_is_found_where_it_is(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    model_admin = site._registry[Invoice]
    monkeypatch.setattr(model_admin, "autocomplete_fields", ())
    monkeypatch.setattr(model_admin, "raw_id_fields", ("order",))
    invoice = InvoiceFactory.create()

    shown = page(boss, path_of(invoice, "change", invoice.pk)).content.decode()

    assert path_of(invoice.order, "change", invoice.order.pk) in shown


def test_who_has_changed_what_is_listed_on_the_first_page(boss: Client) -> None:
    product = ProductFactory.create()
    path = path_of(product, "change", product.pk)
    boss.post(path, unchanged(page(boss, path)))

    assert path in page(boss, reverse("admin:index")).content.decode()
