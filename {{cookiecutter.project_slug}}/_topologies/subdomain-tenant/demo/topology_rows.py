"""The demo rows of apps that only this project has: there are none."""

from collections.abc import Iterable

from django.db.models import Model

from orders.models import Order

MODELS: tuple[type[Model], ...] = ()


def seed_more(orders: Iterable[Order]) -> None:
    """Nothing."""
