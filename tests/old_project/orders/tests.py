from django.contrib.auth.models import User
from django.test import TestCase

from catalogue.models import Category, Product
from orders.models import Order


class OrderTest(TestCase):
    def test_place(self):
        self.client.force_login(User.objects.create(username="eve"))
        product = Product.objects.create(category=Category.objects.create(name="Tea"), name="Sencha", price=9)
        self.client.post("/place/", {"product": product.pk})
        self.assertEqual(Order.objects.get().lines.get().price, 9)
        self.assertContains(self.client.get("/"), "Order 1 of eve: 1 x Sencha")
