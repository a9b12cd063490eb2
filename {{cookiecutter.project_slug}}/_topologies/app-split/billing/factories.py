"""An invoice's order and customer are in other databases: each factory asks the router for its own model."""

from decimal import Decimal

import factory

from billing.models import Invoice, Payment
from dbrouting.factories import RoutedModelFactory
from orders.factories import OrderFactory


class InvoiceFactory(RoutedModelFactory[Invoice]):
    """Of the customer who placed the order."""

    class Meta:
        model = Invoice
        django_get_or_create = ("order",)

    order = factory.SubFactory(OrderFactory)
    customer_id = factory.SelfAttribute("order.customer_id")
    amount = Decimal("19.00")


class PaymentFactory(RoutedModelFactory[Payment]):
    class Meta:
        model = Payment
        django_get_or_create = ("invoice",)

    invoice = factory.SubFactory(InvoiceFactory)
    amount = factory.SelfAttribute("invoice.amount")
