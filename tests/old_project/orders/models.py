from django.contrib.auth.models import User
from django.db import models

from catalogue.models import Product


class Label(models.Model):
    name = models.CharField(max_length=30)


class OpenOrders(models.Manager):
    def get_queryset(self):
        return super().get_queryset().exclude(status="cancelled")


class Order(models.Model):
    customer = models.ForeignKey(User, on_delete=models.CASCADE)
    number = models.IntegerField()
    status = models.CharField(max_length=20, default="placed")
    placed_at = models.DateTimeField(auto_now_add=True)
    labels = models.ManyToManyField(Label, blank=True)

    objects = OpenOrders()

    class Meta:
        ordering = ["id"]
        unique_together = [("customer", "number")]


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
