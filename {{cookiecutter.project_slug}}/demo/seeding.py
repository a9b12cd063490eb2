"""Demo rows, made by the same factories as the tests' rows.

Factories ask the router for every row, so this module names no database. What is already there stays as
it is, whatever you changed in it: seeding again only adds what is missing.
"""

from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.db import router
from django.db.models import Model

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.sql import atomic_for
from demo import topology_rows
from demo.data import CATALOGUE, CUSTOMERS, ORDERS, STAFF_PASSWORD, STAFF_USERNAME
from orders.factories import OrderFactory, OrderLineFactory
from orders.models import Order, OrderLine

MODELS: tuple[type[Model], ...] = (User, Category, Product, Order, OrderLine, *topology_rows.MODELS)
STEPS = len(CUSTOMERS) + sum(len(products) for products in CATALOGUE.values()) + len(ORDERS)


class Seeded(NamedTuple):
    created: int
    already_there: int


def ensure_staff_user() -> tuple[str, str] | None:
    """Username and password of a staff user to try things with; only made, and only told, under `DEBUG`.

    None too once somebody gave that user another password.
    """
    user = _staff_user()
    if user is None or not user.check_password(STAFF_PASSWORD):
        return None
    return STAFF_USERNAME, STAFF_PASSWORD


def seed(progress: Callable[[], object] = lambda: None) -> dict[str, Seeded]:
    """How many rows of each kind were made, and how many there were; calls `progress` `STEPS` times."""
    before = [_count(model) for model in MODELS]
    customers = _seed_customers(progress)
    products = _seed_catalogue(progress)
    topology_rows.seed_more(_seed_orders(customers, products, progress))
    return {
        str(model._meta.verbose_name_plural): Seeded(_count(model) - already_there, already_there)
        for model, already_there in zip(MODELS, before, strict=True)
    }


def _staff_user() -> User | None:
    if not settings.DEBUG:
        return None
    with atomic_for(User):
        user, is_new = User.objects.get_or_create(
            username=STAFF_USERNAME, defaults={"is_staff": True, "is_superuser": True}
        )
        if is_new:
            user.set_password(STAFF_PASSWORD)
            user.save()
    return user


def _seed_customers(progress: Callable[[], object]) -> dict[str, User]:
    customers = {}
    for customer in CUSTOMERS:
        customers[customer.username] = UserFactory.create(**customer._asdict())
        progress()
    if staff_user := _staff_user():
        customers[STAFF_USERNAME] = staff_user
    return customers


def _seed_catalogue(progress: Callable[[], object]) -> dict[str, Product]:
    products = {}
    for (slug, name), sold in CATALOGUE.items():
        category = CategoryFactory.create(slug=slug, name=name)
        for product in sold:
            products[product.slug] = ProductFactory.create(category=category, **product._asdict())
            progress()
    return products


def _seed_orders(
    customers: dict[str, User], products: dict[str, Product], progress: Callable[[], object]
) -> list[Order]:
    """Orders of customers who are there: the staff user is not, without `DEBUG`."""
    orders = []
    for sample in ORDERS:
        if customer := customers.get(sample.username):
            order = OrderFactory.create(customer=customer, created_at=sample.created_at, status=sample.status)
            for slug, quantity in sample.quantities.items():
                OrderLineFactory.create(order=order, product=products[slug], quantity=quantity)
            orders.append(order)
        progress()
    return orders


def _count(model: type[Model]) -> int:
    """Counted where the rows are written: a copy that lags would not have the new ones yet."""
    return model._default_manager.using(router.db_for_write(model)).count()
