from django.contrib import admin

from billing.models import Invoice, Payment
from dbrouting.reference_admin import ReferencesMixin


class PaymentInline(admin.TabularInline):
    model = Payment
    extra = 0


@admin.register(Invoice)
class InvoiceAdmin(ReferencesMixin, admin.ModelAdmin):
    list_display = ["pk", "order", "customer", "amount", "issued_at"]
    list_filter = [("customer", admin.RelatedOnlyFieldListFilter)]
    autocomplete_fields = ["order", "customer"]
    inlines = [PaymentInline]
