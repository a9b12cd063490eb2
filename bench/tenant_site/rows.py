"""The tenants of a benchmark, and the rows of each: ``python -m tenant_site.rows FIRST END``.

It prints the milliseconds that each took to make, without its rows.
"""

import sys
import time

import django
from django.conf import settings
from django.utils.module_loading import import_string


def name_of(number: int) -> str:
    return f"t{number}"


def fill(name: str) -> None:
    """Into the database that is current: a category called ``name``, ten products, ten lines of an order."""
    from catalogue.models import Category, Product
    from orders.models import Order, OrderLine

    if Category.objects.exists():
        return  # a copy
    category = Category.objects.create(name=name, slug=name)
    products = Product.objects.bulk_create(
        Product(category=category, name=str(number), slug=f"product-{number}", price=1, stock=1) for number in range(10)
    )
    order = Order.objects.create(customer_id=1, customer_name=name)
    OrderLine.objects.bulk_create(
        OrderLine(order=order, product_id=product.pk, product_name=product.name, unit_price=1, quantity=1)
        for product in products
    )


def main(first: int, end: int) -> None:
    django.setup()
    make = import_string(settings.MAKE_TENANT)
    for number in range(first, end):
        begun = time.perf_counter()
        tenant = make(name_of(number))
        print((time.perf_counter() - begun) * 1e3)
        with tenant:
            fill(name_of(number))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
