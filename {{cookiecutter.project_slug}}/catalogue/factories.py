from decimal import Decimal

import factory
from django.utils.text import slugify

from catalogue.models import Category, Product
from dbrouting.factories import RoutedModelFactory


class CategoryFactory(RoutedModelFactory[Category]):
    class Meta:
        model = Category
        django_get_or_create = ("slug",)

    name = factory.Sequence(lambda n: f"Category {n}")
    slug = factory.LazyAttribute(lambda category: slugify(category.name))


class ProductFactory(RoutedModelFactory[Product]):
    class Meta:
        model = Product
        django_get_or_create = ("slug",)

    category = factory.SubFactory(CategoryFactory)
    name = factory.Sequence(lambda n: f"Product {n}")
    slug = factory.LazyAttribute(lambda product: slugify(product.name))
    price = Decimal("9.50")
    stock = 10
