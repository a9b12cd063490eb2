"""`check_references` finds the rows whose reference leads nowhere, at any number of them, and mends what it may."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, models
from django.test.utils import CaptureQueriesContext

from accounts.factories import UserFactory
from accounts.models import User
from billing.factories import InvoiceFactory, PaymentFactory
from billing.models import Invoice, Payment
from dbrouting import late_rows, orphans, references
from dbrouting.late_rows import UnsureError, keys_missing_still
from dbrouting.orphans import find_orphans
from dbrouting.overrides import in_database
from dbrouting.provisioning import quoted
from dbrouting.references import CrossDatabaseForeignKey, Lookahead
from orders.factories import OrderFactory
from orders.models import Order

pytestmark = pytest.mark.django_db

CUSTOMER: Any = Invoice._meta.get_field("customer")
ORDER: Any = Invoice._meta.get_field("order")


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (orphans, references):
        monkeypatch.setattr(module, "BATCH", 2)


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Have the reference to the customer declare another rule."""
    return lambda rule: monkeypatch.setattr(CUSTOMER.remote_field, "on_delete", Lookahead(rule))


@pytest.fixture
def order() -> Order:
    return OrderFactory.create()


def invoices(order: Order, *customer_ids: int | None) -> None:
    Invoice.objects.bulk_create(Invoice(order=order, customer_id=key, amount=1) for key in customer_ids)


def checked(*arguments: str) -> tuple[str, int]:
    """What the command prints, and the code it ends with."""
    output, code = StringIO(), 0
    try:
        call_command("check_references", *arguments, stdout=output)
    except SystemExit as error:
        code = int(error.code or 0)
    return output.getvalue(), code


def test_no_orphans_are_found_where_every_key_leads_to_a_row(order: Order) -> None:
    users = [UserFactory.create() for _ in range(5)]
    invoices(order, None, *(user.pk for user in users))

    output, code = checked()

    assert code == 0
    assert "billing.Invoice.customer (SET_NULL): 0 rows refer to no accounts.User." in output
    assert "billing.Invoice.order (PROTECT): 0 rows refer to no orders.Order." in output


def test_orphans_are_counted_by_row_and_their_keys_are_named(order: Order) -> None:
    user = UserFactory.create()
    invoices(order, None, user.pk, 901, 902, 902, 903, 904, 905, 906)

    found = find_orphans(CUSTOMER)

    assert (found.rows, found.fixed, found.left) == (7, 0, 7)
    assert found.keys == [901, 902, 903, 904, 905]
    assert checked()[1] == 1


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (models.SET_NULL, ["ada", None, None, None, None]),
        (models.CASCADE, ["ada"]),
        (models.SET(lambda: User.objects.get(username="nobody")), ["ada", *["nobody"] * 4]),
    ],
)
def test_fixing_does_what_the_rule_says_to_orphans_alone(
    declare: Callable[[Any], None], order: Order, rule: Any, left: list[str | None]
) -> None:
    declare(rule)
    user, _ = UserFactory.create(username="ada"), UserFactory.create(username="nobody")
    invoices(order, user.pk, 902, 902, 902, 903)

    output, code = checked("--fix")

    assert code == 0
    assert "Fixed: 4." in output
    assert [invoice.customer and invoice.customer.username for invoice in Invoice.objects.order_by("pk")] == left
    assert find_orphans(CUSTOMER).rows == 0


def test_orphans_are_looked_for_and_fixed_at_home_in_whatever_block(order: Order) -> None:
    invoices(order, UserFactory.create().pk, 902)

    with in_database("orders_db", write=True):
        found = find_orphans(CUSTOMER, fix=True)

    assert (found.keys, found.left) == ([902], 0)
    assert Invoice.objects.filter(customer=None).count() == 1


@pytest.mark.parametrize("rule", [models.PROTECT, models.RESTRICT, models.DO_NOTHING])
def test_what_a_rule_would_have_refused_is_reported_only(
    declare: Callable[[Any], None], order: Order, rule: Any
) -> None:
    declare(rule)
    invoices(order, 902)

    output, code = checked("--fix")

    assert code == 1
    assert "Fixed: 0." in output
    assert Invoice.objects.get().customer_id == 902


def test_a_replacement_whose_row_is_missing_is_an_orphan_still(declare: Callable[[Any], None], order: Order) -> None:
    declare(models.SET(950))
    invoices(order, 902)

    assert checked("--fix")[1] == 1
    assert Invoice.objects.get().customer_id == 950


def test_keys_are_read_in_ranges(order: Order) -> None:
    """And the rows of neither side, of which there may be many with one key."""
    invoices(order, *range(901, 911), *range(901, 911))

    with CaptureQueriesContext(connections["default"]) as here, CaptureQueriesContext(connections["auth_db"]) as there:
        find_orphans(CUSTOMER)

    assert len(there) == 5
    assert len([query for query in here if "DISTINCT" in query["sql"] and "LIMIT 2" in query["sql"]]) == 6
    assert all("username" not in query["sql"] for query in there)


def test_the_report_is_json_for_programs(order: Order) -> None:
    invoices(order, 902)
    output, code = checked("--json")
    by_reference = {one["reference"]: one for one in json.loads(output)}

    assert code == 1
    assert by_reference["billing.Invoice.customer"]["left"] == 1
    assert by_reference["billing.Invoice.customer"]["keys"] == [902]
    assert by_reference["billing.Invoice.order"]["left"] == 0


def test_deletions_that_django_did_not_see_are_found(order: Order) -> None:
    invoice = InvoiceFactory.create(order=order, customer_id=UserFactory.create().pk)
    User.objects.all()._raw_delete("auth_db")
    Order.objects.all()._raw_delete("orders_db")

    assert [find_orphans(field).keys for field in (CUSTOMER, ORDER)] == [[invoice.customer_id], [invoice.order_id]]


def test_what_is_committed_while_writers_are_waited_for_is_no_orphan(
    declare: Callable[[Any], None], order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(models.CASCADE)
    invoices(order, 701, 702, 703)

    def commits_meanwhile(rows: "models.QuerySet[Any]") -> None:
        if not User.objects.filter(pk=702).exists():
            UserFactory.create(pk=702)

    monkeypatch.setattr(late_rows, "wait_for_writers", commits_meanwhile)
    output, code = checked("--fix")

    assert code == 0
    assert "2 rows refer to no accounts.User.\n  Their keys begin with 701, 703. Fixed: 2." in output
    assert Invoice.objects.get().customer_id == 702


def test_nothing_is_fixed_where_writers_cannot_be_waited_for(
    declare: Callable[[Any], None], order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(models.CASCADE)
    invoices(order, 901, 902, 903)
    waited = Mock(side_effect=OperationalError("lock timeout"))
    monkeypatch.setattr(late_rows, "wait_for_writers", waited)

    output, code = checked("--fix")

    assert code == 1
    assert "3 rows refer to no accounts.User.\n  Their keys begin with 901, 902, 903. Fixed: 0." in output
    assert "accounts.User on 'auth_db' may be about to be committed. It said: lock timeout." in output
    assert Invoice.objects.count() == 3
    assert waited.call_count == 1


def test_rows_of_a_database_that_is_only_read_cannot_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["auth_db"], "READ_ONLY", True)

    with pytest.raises(UnsureError, match="who only reads there can't wait"):
        keys_missing_still(CUSTOMER, [902])


@pytest.mark.django_db(transaction=True)
def test_who_adds_a_row_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_rows, "PATIENCE", 1)

    with adding("ada", pk=702), pytest.raises(UnsureError, match=r"may be about to be committed\. It said: "):
        keys_missing_still(CUSTOMER, [702])

    assert keys_missing_still(CUSTOMER, [702, 703]) == [703]


@contextmanager
def adding(name: str, pk: int) -> Iterator[None]:
    """A user whom another session has added by then, and commits after the block."""
    other = connections["auth_db"].copy()
    row = UserFactory.build(pk=pk, username=name)
    fields = User._meta.local_concrete_fields
    columns = ", ".join(quoted(other, str(field.column)) for field in fields)
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO accounts_user ({columns}) VALUES ({', '.join(['%s'] * len(fields))})",
                [field.get_db_prep_save(getattr(row, field.attname), other) for field in fields],
            )
            yield
        other.commit()
    finally:
        other.close()


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_database_that_is_down_holds_up_no_reference_of_others(
    order: Order, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    down = Mock(side_effect=OperationalError("refused"))
    monkeypatch.setattr(connections["auth_db"], "ensure_connection", down)
    output = StringIO()

    with pytest.raises(CommandError) as error:
        call_command("check_references", *words, stdout=output)

    assert "billing.Invoice.order" in output.getvalue()
    assert "billing.Invoice.customer" not in output.getvalue()
    named, *reasons = str(error.value).splitlines()
    assert named == "Not every reference could be looked at: billing.Invoice.customer."
    assert len(reasons) == 1
    assert "'auth_db' can't be reached: refused" in reasons[0]


def test_a_database_that_is_down_is_asked_once_and_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    down = Mock(side_effect=OperationalError("refused"))
    monkeypatch.setattr(connections["default"], "ensure_connection", down)

    with pytest.raises(CommandError) as error:
        call_command("check_references", stdout=StringIO())

    assert "looked at: billing.Invoice.order, billing.Invoice.customer." in str(error.value)
    assert str(error.value).count("refused") == down.call_count == 1


def test_a_reference_that_fails_on_the_way_holds_up_no_other(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(field: CrossDatabaseForeignKey, *args: Any) -> orphans.Orphans:
        if field is CUSTOMER:
            raise OperationalError("no such table")
        return find_orphans(field, *args)

    monkeypatch.setattr("dbrouting.management.commands.check_references.find_orphans", find)
    output = StringIO()

    with pytest.raises(CommandError, match=r"looked at: billing.Invoice.customer.\n.*said: no such table"):
        call_command("check_references", "--fix", stdout=output)

    assert "billing.Invoice.order" in output.getvalue()


@pytest.fixture
def protected(declare: Callable[[Any], None], order: Order, monkeypatch: pytest.MonkeyPatch) -> Invoice:
    """Beside others, an invoice of nobody whose payment keeps it."""
    declare(models.CASCADE)
    monkeypatch.setattr(Payment._meta.get_field("invoice").remote_field, "on_delete", models.PROTECT)
    invoices(order, 901, 902, 903)
    return PaymentFactory.create(invoice=Invoice.objects.get(customer_id=902)).invoice


def test_what_a_row_beside_it_protects_is_not_fixed_and_told(protected: Invoice) -> None:
    output, code = checked("--fix")

    assert code == 1
    assert "Fixed: 2." in output
    assert "refused: 902: (\"Cannot delete some instances of model 'Invoice'" in output
    assert list(Invoice.objects.all()) == [protected]


def test_a_recorded_deletion_that_is_refused_is_told_until_it_can_be_followed(protected: Invoice) -> None:
    UserFactory.create(pk=902)
    User.objects.all().delete()
    assert "refused" not in checked()[0]
    with pytest.raises(SystemExit):
        call_command("drain_outbox", stdout=StringIO())

    output, code = checked()

    assert code == 1
    assert "refused: 902: ProtectedError" in output
    assert "drain_outbox --retry" in output
    protected.payments.all().delete()
    call_command("drain_outbox", "--retry", stdout=StringIO())
    assert "refused" not in checked()[0]
