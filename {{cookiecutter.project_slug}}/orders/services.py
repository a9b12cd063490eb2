from collections.abc import Mapping

from accounts.models import User
from catalogue.models import Product
from dbrouting.sql import atomic_for
from orders.models import Order, OrderLine


class ProductNotOrderableError(Exception):
    """A product is sold out, withdrawn or gone; the message can be shown to the customer."""


def place_order(customer: User, quantities: Mapping[int, int]) -> Order:
    """Order products, given as product id → quantity, and copy what the order must remember of them.

    The transaction is one of the orders' database and covers nothing else. That is why stock is not
    taken here: where the catalogue has a database of its own, that would be a second transaction, and a
    crash between the two commits would leave an order without its stock or stock without its order.
    The cure is a job that the first transaction records and a worker repeats until it succeeded.
    """
    with atomic_for(Order):
        products = Product.objects.orderable().in_bulk(list(quantities))
        if missing := quantities.keys() - products.keys():
            raise ProductNotOrderableError(_apology(missing))
        order = Order.objects.create(customer_id=customer.pk, customer_name=customer.display_name)
        OrderLine.objects.bulk_create(
            OrderLine(
                order=order,
                product_id=product.pk,
                product_name=product.name,
                unit_price=product.price,
                quantity=quantities[product.pk],
            )
            for product in products.values()
        )
    return order


def _apology(product_ids: set[int]) -> str:
    names = Product.objects.filter(pk__in=product_ids).values_list("name", flat=True)
    return f"Not available any more: {', '.join(names) or 'this product'}."
