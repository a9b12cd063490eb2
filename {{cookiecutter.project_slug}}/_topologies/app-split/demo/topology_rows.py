"""The demo rows of the apps that only this project has."""

from collections.abc import Iterable

from billing.factories import InvoiceFactory, PaymentFactory
from billing.models import Invoice, Payment
from orders.models import Order

MODELS = (Invoice, Payment)


def seed_more(orders: Iterable[Order]) -> None:
    """An invoice for each order that stands, and a payment for each that was shipped."""
    for order in orders:
        if order.status == Order.Status.CANCELLED:
            continue
        invoice = InvoiceFactory.create(order=order, amount=order.total, issued_at=order.created_at)
        if order.status == Order.Status.SHIPPED:
            PaymentFactory.create(invoice=invoice, received_at=order.created_at)
