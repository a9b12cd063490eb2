"""``on_delete`` of references: what happens to rows in another database when the row they refer to is deleted."""

from collections.abc import Callable
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db import models
from django.db.models import ProtectedError, RestrictedError
from django.test import Client

from accounts.factories import UserFactory
from accounts.models import User
from billing.factories import InvoiceFactory, PaymentFactory
from billing.models import Invoice, Payment
from dbrouting import references
from dbrouting.overrides import in_database
from dbrouting.references import Lookahead
from dbrouting.sql import atomic_for
from orders.factories import OrderFactory
from orders.models import Order
from outbox.draining import drain
from outbox.models import Message

pytestmark = pytest.mark.django_db  # where nothing is committed: what follows a deletion is drained by hand

CUSTOMER: Any = Invoice._meta.get_field("customer")
ORDER: Any = Invoice._meta.get_field("order")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def user() -> User:
    return UserFactory.create(username="ada")


@pytest.fixture
def invoice(user: User) -> Invoice:
    return InvoiceFactory.create(order=OrderFactory.create(customer=user))


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Have the reference to the customer declare another rule."""
    return lambda rule: monkeypatch.setattr(CUSTOMER.remote_field, "on_delete", Lookahead(rule))


def follow() -> None:
    assert drain("auth_db").failed == 0
    assert not Message.objects.using("auth_db").exists()


def customers() -> list[int | None]:
    return list(Invoice.objects.order_by("pk").values_list("customer_id", flat=True))


# Rules that follow


@pytest.mark.parametrize(
    "delete",
    [
        lambda user: user.delete(),
        lambda user: User.objects.filter(pk=user.pk).delete(),
        lambda user: User.objects.all().delete(),
    ],
)
def test_a_customer_is_deleted_and_the_invoice_stays(
    user: User, invoice: Invoice, delete: Callable[[User], object]
) -> None:
    delete(user)
    assert customers() == [invoice.customer_id]
    follow()

    assert not User.objects.exists()
    assert customers() == [None]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (models.CASCADE, []),
        (models.SET(7), [7]),
        (models.SET(lambda: User.objects.get(username="nobody")), ["nobody"]),
        (models.DO_NOTHING, ["ada"]),
    ],
)
def test_each_rule_is_followed(declare: Callable[[Any], None], rule: Any, expected: list[Any]) -> None:
    keys = {name: UserFactory.create(username=name).pk for name in ("ada", "grace", "nobody")}
    declare(rule)
    for name in ("ada", "grace"):
        InvoiceFactory.create(customer_id=keys[name])

    User.objects.get(username="ada").delete()
    follow()

    assert customers() == [*(keys.get(one, one) for one in expected), keys["grace"]]


def test_a_cascade_goes_on_in_the_other_database(declare: Callable[[Any], None], user: User, invoice: Invoice) -> None:
    declare(models.CASCADE)
    PaymentFactory.create(invoice=invoice)

    user.delete()
    follow()

    assert not Invoice.objects.exists()
    assert not Payment.objects.exists()


def test_a_large_cascade_is_committed_in_parts(
    declare: Callable[[Any], None], user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(models.CASCADE)
    monkeypatch.setattr(references, "BATCH", 2)
    monkeypatch.setattr("outbox.cascades.BATCH", 2)
    commits: list[int] = []
    for _ in range(5):
        InvoiceFactory.create(customer_id=user.pk)
    apply_rule = references.apply_rule

    def noted(*args: Any) -> int:
        commits.append(Invoice.objects.count())
        return apply_rule(*args)

    monkeypatch.setattr("outbox.cascades.apply_rule", noted)
    user.delete()
    follow()

    assert commits == [5, 3, 1]
    assert not Invoice.objects.exists()


def test_a_default_whose_row_is_deleted_itself_stays(declare: Callable[[Any], None], user: User) -> None:
    key = user.pk
    declare(models.SET(key))
    InvoiceFactory.create(customer_id=key)

    user.delete()
    follow()

    assert customers() == [key]


def test_a_deletion_that_is_rolled_back_has_no_consequences(user: User, invoice: Invoice) -> None:
    def delete_and_fail() -> None:
        with atomic_for(User):
            User.objects.get(pk=user.pk).delete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        delete_and_fail()

    assert customers() == [user.pk]
    assert not Message.objects.using("auth_db").exists()


@pytest.mark.django_db(transaction=True)
def test_a_deletion_is_followed_after_its_commit(user: User, invoice: Invoice) -> None:
    user.delete()

    assert customers() == [None]


@pytest.mark.django_db(transaction=True)
def test_a_deletion_whose_process_died_is_followed_later(user: User, invoice: Invoice) -> None:
    """Between the commit there and the one here the invoice refers to nobody."""
    key = user.pk
    with patch("outbox.draining.drain_messages", side_effect=Killed), pytest.raises(Killed):
        user.delete()
    assert not User.objects.exists()
    assert customers() == [key]

    drain("auth_db")

    assert customers() == [None]


def test_a_deletion_is_noted_beside_the_row_in_whatever_block(user: User, invoice: Invoice) -> None:
    with in_database("orders_db", write=True):
        user.delete(using="auth_db")

    assert Message.objects.using("auth_db").exists()
    follow()
    assert customers() == [None]


def test_a_row_that_has_come_back_keeps_what_refers_to_it(user: User, invoice: Invoice) -> None:
    key = user.pk
    user.delete()
    UserFactory.create(pk=key)

    follow()

    assert customers() == [key]


def test_a_copy_in_another_database_is_deleted_without_consequences(user: User, invoice: Invoice) -> None:
    with atomic_for(Order):
        for signal in (models.signals.pre_delete, models.signals.post_delete):
            signal.send(sender=User, instance=user, using="orders_db")

    assert customers() == [user.pk]
    assert not Message.objects.using("orders_db").exists()


def sent() -> list[list[str]]:
    """The keys of each message."""
    return [message.content["keys"] for message in Message.objects.using("auth_db")]


def test_a_deletion_of_many_writes_one_message_for_many_of_them(
    user: User, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.cascades.BATCH", 2)
    others = UserFactory.create_batch(4)

    User.objects.all().delete()

    assert [len(keys) for keys in sent()] == [2, 2, 1]
    assert {key for keys in sent() for key in keys} == {str(one.pk) for one in (user, *others)} | {str(customers()[0])}
    follow()
    assert customers() == [None]


def test_a_deletion_inside_of_a_deletion_is_noted_as_well(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    friend = UserFactory.create()
    keys = {str(user.pk), str(friend.pk)}

    def delete_friend(instance: User, **kwargs: Any) -> None:
        User.objects.filter(pk=friend.pk).exclude(pk=instance.pk).delete()

    models.signals.pre_delete.connect(delete_friend, sender=User, weak=False, dispatch_uid="test")
    try:
        user.delete()
    finally:
        models.signals.pre_delete.disconnect(sender=User, dispatch_uid="test")

    assert {key for keys in sent() for key in keys} == keys


def test_a_deletion_that_failed_leaves_nothing_to_the_next_one(user: User) -> None:
    friend = UserFactory.create()
    key = str(friend.pk)

    with (
        patch("django.db.models.sql.DeleteQuery.delete_batch", side_effect=ZeroDivisionError),
        pytest.raises(ZeroDivisionError),
        atomic_for(User),
    ):
        user.delete()
    friend.delete()

    assert sent() == [[key]]


def test_what_refuses_one_of_many_does_not_keep_the_others(declare: Callable[[Any], None]) -> None:
    """Such as a PROTECT beside the rows that are deleted: it is found when the other row is gone for good."""
    declare(models.CASCADE)
    invoices = [InvoiceFactory.create() for _ in range(5)]
    kept = invoices[3]
    PaymentFactory.create(invoice=kept)
    Order.objects.update(customer_id=1)  # which the users are no longer

    with patch.object(Payment._meta.get_field("invoice").remote_field, "on_delete", models.PROTECT):
        User.objects.all().delete()
        with pytest.raises(SystemExit):
            call_command("drain_outbox", stdout=StringIO())

    assert customers() == [kept.customer_id]
    [failed] = Message.objects.using("default")  # where it was taken apart
    assert failed.content["keys"] == [str(kept.customer_id)]
    assert "ProtectedError" in failed.last_error


def test_a_deletion_in_bulk_of_what_nothing_refers_to_stays_one_statement() -> None:
    OrderFactory.create()

    assert models.deletion.Collector("default").can_fast_delete(Payment.objects.all())
    assert not models.deletion.Collector("auth_db").can_fast_delete(User.objects.all())


# Rules that refuse


@pytest.mark.parametrize("delete", [lambda order: order.delete(), lambda order: Order.objects.all().delete()])
def test_an_order_with_an_invoice_is_not_deleted(invoice: Invoice, delete: Callable[[Order], object]) -> None:
    with pytest.raises(ProtectedError, match=r"Invoice\.order") as refused:
        delete(invoice.order)

    assert refused.value.protected_objects == {invoice}
    assert Order.objects.exists()

    invoice.delete()
    delete(Order.objects.get())
    assert not Order.objects.exists()


def test_a_copy_in_another_database_is_not_protected(invoice: Invoice) -> None:
    orders = Invoice.objects.filter(order=invoice.order_id)
    collector = models.deletion.Collector("auth_db")

    ORDER.remote_field.on_delete(collector, ORDER, orders, "auth_db")

    with pytest.raises(ProtectedError):
        ORDER.remote_field.on_delete(collector, ORDER, orders, "orders_db")


def test_a_restricted_row_is_not_deleted(declare: Callable[[Any], None], user: User, invoice: Invoice) -> None:
    declare(models.RESTRICT)

    with pytest.raises(RestrictedError, match=r"Invoice\.customer"):
        user.delete()

    assert User.objects.exists()


# The admin


@pytest.fixture
def admin(site_client: Client) -> Client:
    site_client.force_login(UserFactory.create(username="boss", is_staff=True, is_superuser=True))
    return site_client


def test_the_admin_deletes_a_customer(admin: Client, user: User, invoice: Invoice) -> None:
    page = f"/admin/accounts/user/{user.pk}/delete/"

    assert admin.get(page).status_code == 200
    assert admin.post(page, {"post": "yes"}).status_code == 302
    follow()
    assert customers() == [None]


def test_the_admin_deletes_several_customers(admin: Client, user: User, invoice: Invoice) -> None:
    action = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}

    assert admin.post("/admin/accounts/user/", action).status_code == 302
    follow()
    assert customers() == [None]


def test_the_admin_shows_what_protects_an_order(admin: Client, invoice: Invoice) -> None:
    page = admin.get(f"/admin/orders/order/{invoice.order_id}/delete/").content.decode()

    assert "would require deleting the following protected related objects" in page
    assert f"Invoice {invoice.pk}" in page
