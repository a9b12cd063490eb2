"""Factories write where the router says, unless ``Meta.database`` names an alias."""

import factory
import pytest
from django.db import connections, router

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.factories import RoutedModelFactory
from dbrouting.overrides import current_override
from dbrouting.testing import assert_routed_to
from orders.factories import OrderFactory
from orders.models import Order

pytestmark = pytest.mark.django_db


def test_a_factory_writes_where_the_router_says() -> None:
    home = router.db_for_write(Product)

    with assert_routed_to(home):
        product = ProductFactory.create()

    assert product._state.db == home
    assert product.category._state.db == home


def test_every_model_of_a_batch_lands_in_its_own_home() -> None:
    orders = OrderFactory.create_batch(3)
    users = UserFactory.create_batch(3)

    assert {order._state.db for order in orders} == {router.db_for_write(Order)}
    assert {user._state.db for user in users} == {router.db_for_write(User)}


def test_get_or_create_asks_the_same_database_twice() -> None:
    first = CategoryFactory.create(slug="tea")
    with assert_routed_to(router.db_for_write(Category)):
        second = CategoryFactory.create(slug="tea")

    assert first == second


@pytest.mark.parametrize("alias", list(connections))
def test_meta_database_wins_also_when_it_is_default(alias: str) -> None:
    """Asked of a model that may live elsewhere than on ``default``, or the router would give the same answer."""

    class Elsewhere(RoutedModelFactory[Order]):
        class Meta:
            model = Order
            database = alias

    assert Elsewhere._get_manager(Order).db == alias


def test_sub_factories_follow_meta_database() -> None:
    seen: list[str | None] = []

    def note(alias: str | None) -> str:
        seen.append(alias)
        return "Tea"

    class Inner(RoutedModelFactory[Category]):
        name = factory.LazyFunction(lambda: note(overridden_write()))
        slug = factory.Sequence("category-{}".format)

        class Meta:
            model = Category

    class Outer(ProductFactory):
        category = factory.SubFactory(Inner)

        class Meta:
            model = Product
            database = router.db_for_write(Product)

    Outer.create()

    assert seen == [router.db_for_write(Product)]
    assert current_override() is None


def overridden_write() -> str | None:
    override = current_override()
    return override and override.write
