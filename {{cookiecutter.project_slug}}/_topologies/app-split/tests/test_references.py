"""References to rows of another database: what works as with any foreign key, and what says why it can't."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import LazySettings
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.migrations.writer import MigrationWriter
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.forms import modelform_factory
from django.test.utils import CaptureQueriesContext, isolate_apps
from typed import typed

from accounts.factories import UserFactory
from accounts.models import User
from billing.factories import InvoiceFactory
from billing.models import Invoice, Payment
from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.aliases import usable_aliases
from dbrouting.references import CrossDatabaseForeignKey, CrossDatabaseJoinError
from dbrouting.routers import home_of_model
from dbrouting.testing import assert_routed_to
from orders.factories import OrderFactory
from orders.models import Order

pytestmark = pytest.mark.django_db

APART = {"billing": "default"}
TOGETHER = {"billing": "auth_db"}


@pytest.fixture
def user() -> User:
    return UserFactory.create(username="ada", first_name="Ada")


@pytest.fixture
def invoice(user: User) -> Invoice:
    return InvoiceFactory.create(order=OrderFactory.create(customer=user))


@contextmanager
def asked() -> Iterator[Counter[str]]:
    """How many queries each database was asked in the block."""
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        captured = {alias: stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in usable_aliases()}
        yield counts
        counts.update({alias: len(queries) for alias, queries in captured.items() if len(queries)})


# What works


def test_an_object_of_another_database_is_assigned_and_read(user: User) -> None:
    invoice = Invoice(order=OrderFactory.create(), customer=user, amount=1)
    invoice.save()

    read = Invoice.objects.get()
    with assert_routed_to("auth_db"):
        assert read.customer == user
    assert (invoice._state.db, read.customer._state.db) == ("default", "auth_db")


def test_only_an_object_of_the_other_model_is_assigned(invoice: Invoice) -> None:
    with pytest.raises(ValueError, match='must be a "User" instance'):
        invoice.customer = invoice.order


def test_it_is_emptied_by_none(invoice: Invoice) -> None:
    invoice.customer = None
    invoice.save()

    assert Invoice.objects.get().customer is None


def test_a_row_that_is_gone_is_an_error_of_its_model(invoice: Invoice) -> None:
    User.objects.all()._raw_delete("auth_db")

    with pytest.raises(User.DoesNotExist):
        Invoice.objects.get().customer  # noqa: B018  reading it asks the database


def test_the_other_side_has_a_manager_in_the_database_of_the_rows(user: User, invoice: Invoice) -> None:
    with assert_routed_to("default"):
        assert user.invoices.get() == invoice
        added = user.invoices.create(order_id=7, amount=2)
        user.invoices.remove(added)
        user.invoices.add(added)
        user.invoices.set([added])

    assert list(user.invoices.all()) == [added]


@pytest.mark.parametrize("read", [lambda: Invoice.objects.all(), lambda: Invoice.objects.using("default")])
def test_objects_are_prefetched_from_their_database(user: User, read: Callable[[], QuerySet[Invoice]]) -> None:
    for _ in range(3):
        InvoiceFactory.create(order=OrderFactory.create(customer=user))

    with asked() as queries:
        customers = {invoice.customer for invoice in read().prefetch_related("customer")}

    assert customers == {user}
    assert queries == {"default": 1, "auth_db": 1}


def test_rows_are_prefetched_from_the_other_side(user: User, invoice: Invoice) -> None:
    with asked() as queries:
        [read] = User.objects.prefetch_related("invoices")
        assert [(one, one.customer) for one in read.invoices.all()] == [(invoice, user)]

    assert queries == {"default": 1, "auth_db": 1}


@pytest.mark.parametrize(
    "narrow",
    [
        lambda rows, user: rows.filter(customer=user),
        lambda rows, user: rows.filter(customer=user.pk),
        lambda rows, user: rows.filter(customer_id=user.pk),
        lambda rows, user: rows.filter(customer__pk=user.pk),
        lambda rows, user: rows.filter(customer__id__gte=user.pk),
        lambda rows, user: rows.filter(customer__in=[user, 99]),
        lambda rows, user: rows.filter(customer__isnull=False),
        lambda rows, user: rows.exclude(customer=99),
        lambda rows, user: rows.filter(order__in=Payment.objects.values("invoice__order")),
        lambda rows, user: rows.filter(Exists(Invoice.objects.filter(customer=OuterRef("customer")))),
        lambda rows, user: rows.filter(customer=models.F("customer_id")),
    ],
)
def test_queries_by_key_stay_in_the_database(
    user: User, invoice: Invoice, narrow: Callable[[QuerySet[Invoice], User], QuerySet[Invoice]]
) -> None:
    invoice.payments.create(amount=1)

    with assert_routed_to("default"):
        assert list(narrow(Invoice.objects.all(), user)) == [invoice]
        assert list(narrow(Invoice.objects.all(), user).values_list("customer", "order_id")) == [
            (user.pk, invoice.order_id)
        ]


def test_a_form_offers_and_accepts_rows_of_the_other_database(user: User) -> None:
    order = OrderFactory.create(customer=user)
    form_class = modelform_factory(Invoice, fields=["order", "customer", "amount"])
    form = form_class({"order": order.pk, "customer": user.pk, "amount": "3"})

    assert form.is_valid(), form.errors
    assert form.save().customer == user
    assert f'<option value="{user.pk}">ada</option>' in str(form_class()["customer"])


def test_a_form_refuses_a_key_without_a_row() -> None:
    form = modelform_factory(Invoice, fields=["order", "amount"])({"order": "99", "amount": "3"})

    assert "order" in form.errors


def test_a_model_is_validated_against_the_other_database(invoice: Invoice) -> None:
    invoice.order_id = 99

    with pytest.raises(ValidationError, match="order instance with id 99"):
        invoice.full_clean()


def test_natural_keys_are_looked_up_where_the_rows_are(tmp_path: Any, invoice: Invoice, user: User) -> None:
    path = tmp_path / "billing.json"
    typed("dumpdata", "billing", "--natural-foreign", f"--output={path}")
    fields = json.loads(path.read_text())[0]["fields"]
    Invoice.objects.all().delete()

    typed("loaddata", str(path))

    assert (fields["customer"], fields["order"]) == (["ada"], invoice.order_id)
    assert Invoice.objects.get().customer == user


def test_natural_keys_of_xml_are_looked_up_there_too(tmp_path: Any, invoice: Invoice, user: User) -> None:
    path = tmp_path / "billing.xml"
    path.write_text(serializers.serialize("xml", [invoice], use_natural_foreign_keys=True))
    Invoice.objects.all().delete()

    typed("loaddata", str(path))

    assert "<natural>ada</natural>" in path.read_text()
    assert Invoice.objects.get().customer == user


def test_an_object_is_serialized_with_its_key(invoice: Invoice) -> None:
    [row] = json.loads(serializers.serialize("json", [invoice]))

    assert row["fields"]["customer"] == invoice.customer_id


# What can't be


FOLLOWING: list[Callable[[], object]] = [
    lambda: Invoice.objects.filter(customer__username="ada").first(),
    lambda: Invoice.objects.exclude(customer__username="ada").first(),
    lambda: Invoice.objects.filter(customer__username="ada").delete(),
    lambda: Invoice.objects.filter(customer__username="ada").update(amount=1),
    lambda: list(Invoice.objects.order_by("customer__username")),
    lambda: list(Invoice.objects.order_by("order")),
    lambda: list(Invoice.objects.values("customer__username")),
    lambda: list(Invoice.objects.select_related("customer")),
    lambda: Invoice.objects.aggregate(Count("order__lines")),
    lambda: list(Payment.objects.filter(invoice__customer__username="ada")),
    lambda: list(User.objects.filter(invoices__amount=1)),
    lambda: list(User.objects.exclude(invoices__amount=1)),
    lambda: list(User.objects.annotate(Count("invoices"))),
    lambda: list(Invoice.objects.filter(customer__in=User.objects.all())),
    lambda: list(Invoice.objects.filter(customer__in=User.objects.using("auth_db").values("pk"))),
    lambda: list(Invoice.objects.filter(customer=User.objects.all()[:1])),
    lambda: list(Invoice.objects.filter(customer__in=Order.objects.values("customer_id"))),
    lambda: list(Invoice.objects.filter(customer=Subquery(User.objects.values("pk")[:1]))),
    lambda: list(User.objects.filter(Exists(Invoice.objects.filter(customer=OuterRef("pk"))))),
]


@pytest.mark.parametrize("mapping", [APART, TOGETHER], ids=["apart", "together"])
@pytest.mark.parametrize("follow", FOLLOWING)
def test_a_query_that_follows_a_reference_is_an_error(
    settings: LazySettings, mapping: dict[str, str], follow: Callable[[], object]
) -> None:
    """Also as long as both are in one database, so that nothing changes on the day when one of them moves."""
    settings.DATABASE_APPS_MAPPING = {**settings.DATABASE_APPS_MAPPING, **mapping}

    with pytest.raises(CrossDatabaseJoinError):
        follow()


def test_the_error_names_models_databases_and_the_way_out() -> None:
    with pytest.raises(CrossDatabaseJoinError) as join:
        list(Invoice.objects.select_related("order"))
    with pytest.raises(CrossDatabaseJoinError) as subquery:
        list(Invoice.objects.filter(customer__in=User.objects.filter(is_staff=True)))

    assert "from billing.Invoice, on 'default', to orders.Order, on 'orders_db'" in str(join.value)
    assert "prefetch_related('order')" in str(join.value)
    assert "from billing.Invoice, on 'default', to accounts.User, on 'auth_db'" in str(subquery.value)
    assert "customer__in=list(ids)" in str(subquery.value)


# The field


def test_it_is_an_index_without_a_constraint() -> None:
    with connections["default"].cursor() as cursor:
        constraints = connections["default"].introspection.get_constraints(cursor, "billing_invoice")

    of_customer = [one for one in constraints.values() if one["columns"] == ["customer_id"]]
    assert [one["index"] for one in of_customer] == [True]
    assert not any(one["foreign_key"] for one in constraints.values())


@pytest.mark.django_db(transaction=True)
@isolate_apps("catalogue")
def test_a_foreign_key_becomes_a_reference_in_place() -> None:
    """Its column and its values stay, the constraint goes."""

    class Review(models.Model):
        product = models.ForeignKey(Product, models.CASCADE, related_name="+")

        class Meta:
            app_label = "catalogue"

        def __str__(self) -> str:
            return "A review"

    before: Any = Review._meta.get_field("product")
    after = CrossDatabaseForeignKey(Product, models.CASCADE, related_name="+")
    after.set_attributes_from_name("product")
    after.model = Review
    connection = connections["default"]
    product = ProductFactory.create()
    with connection.schema_editor() as editor:
        editor.create_model(Review)
    try:
        Review(product_id=product.pk).save_base(raw=True)
        with connection.schema_editor() as editor:
            editor.alter_field(Review, before, after)
        with connection.cursor() as cursor:
            constraints = connection.introspection.get_constraints(cursor, "catalogue_review").values()
            cursor.execute("SELECT product_id FROM catalogue_review")
            assert cursor.fetchall() in ([(product.pk,)], ((product.pk,),))
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Review)

    of_the_column = [one for one in constraints if one["columns"] == ["product_id"]]
    assert any(one["index"] for one in of_the_column)
    assert not any(one["foreign_key"] for one in of_the_column)
    assert not any(one["foreign_key"] for one in constraints)


def test_a_migration_holds_what_was_declared() -> None:
    *_, path, _, kwargs = Invoice._meta.get_field("customer").deconstruct()
    source, imports = MigrationWriter.serialize(Invoice._meta.get_field("customer"))

    assert path == "dbrouting.references.CrossDatabaseForeignKey"
    assert kwargs["on_delete"] is models.SET_NULL
    assert "db_constraint" not in kwargs
    assert source.startswith(path)
    assert "import dbrouting.references" in imports


@pytest.mark.parametrize(
    "options",
    [
        {"on_delete": models.CASCADE, "db_constraint": True},
        {"on_delete": lambda collector, field, objects, using: None},
        *([{"on_delete": models.DB_CASCADE}] if hasattr(models, "DB_CASCADE") else []),
    ],
)
def test_what_no_database_can_keep_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no database has both rows"):
        CrossDatabaseForeignKey(User, **options)


@isolate_apps("billing")
@pytest.mark.parametrize(("rule", "lacking"), [(models.SET_NULL, "null=True"), (models.SET_DEFAULT, "a default")])
def test_a_rule_that_the_column_does_not_allow_is_an_error(rule: Any, lacking: str) -> None:
    class Note(models.Model):
        user = CrossDatabaseForeignKey(User, on_delete=rule, related_name="+")

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "A note"

    [error] = [error for error in Note.check() if error.id == "dbrouting.E207"]

    assert lacking in str(error.hint)


@isolate_apps("billing")
def test_a_reference_may_be_unique() -> None:
    class Account(models.Model):
        user = CrossDatabaseForeignKey(User, on_delete=models.CASCADE, unique=True, related_name="+")

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "An account"

    assert "fields.W342" not in [message.id for message in Account.check()]


@pytest.mark.skipif(not hasattr(models, "DB_CASCADE"), reason="this Django has no cascades of the database")
@isolate_apps("billing")
def test_a_target_that_the_database_itself_deletes_is_an_error() -> None:
    """Nobody would hear of it. That is Django's own check, which has to know of references as of other keys."""

    class Shelf(models.Model):
        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "A shelf"

    class Book(models.Model):
        shelf = models.ForeignKey(Shelf, on_delete=models.DB_CASCADE)

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "A book"

    class Loan(models.Model):
        book = CrossDatabaseForeignKey(Book, on_delete=models.CASCADE)

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return "A loan"

    assert [error.id for error in Loan.check()] == ["fields.E323"]


def test_the_sample_shop_refers_across_three_databases() -> None:
    homes = [home_of_model(model) for model in (Invoice, Order, User)]

    assert len(set(homes)) == 3
