"""An order's customer and products come from other apps, perhaps other databases: each factory asks
the router for its own model, so `OrderFactory()` may write to two databases and nobody has to know."""

import factory
from django.utils import timezone

from accounts.factories import UserFactory
from catalogue.factories import ProductFactory
from dbrouting.factories import RoutedModelFactory
from orders.models import Order, OrderLine


class OrderFactory(RoutedModelFactory[Order]):
    """Takes `customer=user`, and keeps of it what an order keeps."""

    class Meta:
        model = Order
        django_get_or_create = ("customer_id", "created_at")

    class Params:
        customer = factory.SubFactory(UserFactory)

    customer_id = factory.SelfAttribute("customer.pk")
    customer_name = factory.SelfAttribute("customer.display_name")
    created_at = factory.LazyFunction(timezone.now)


class OrderLineFactory(RoutedModelFactory[OrderLine]):
    """Takes `product=product`, and keeps of it what a line keeps."""

    class Meta:
        model = OrderLine
        django_get_or_create = ("order", "product_id")

    class Params:
        product = factory.SubFactory(ProductFactory)

    order = factory.SubFactory(OrderFactory)
    product_id = factory.SelfAttribute("product.pk")
    product_name = factory.SelfAttribute("product.name")
    unit_price = factory.SelfAttribute("product.price")
    quantity = 1
