from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from dbrouting.references import CrossDatabaseForeignKey
from orders.models import Order


class Invoice(models.Model):
    """What an order costs.

    The order and the customer are in other databases: both are references, which no database enforces. An order that
    was invoiced can't be deleted; a customer can, and the invoice stays.
    """

    order = CrossDatabaseForeignKey(Order, on_delete=models.PROTECT, related_name="invoices")
    customer = CrossDatabaseForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="invoices"
    )
    amount = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(0)])
    issued_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-issued_at", "-pk"]

    def __str__(self) -> str:
        return f"Invoice {self.pk}"


class Payment(models.Model):
    """`invoice` is a foreign key, being in the same database."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="payments")
    amount = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(0)])
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["received_at", "pk"]

    def __str__(self) -> str:
        return f"{self.amount} for invoice {self.invoice_id}"
