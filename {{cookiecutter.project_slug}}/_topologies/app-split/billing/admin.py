from django.contrib import admin

from billing.models import Invoice, Payment


class PaymentInline(admin.TabularInline):
    model = Payment
    extra = 0


@admin.register(Invoice)
class InvoiceAdmin(admin.ModelAdmin):
    list_display = ["pk", "amount", "issued_at"]
    autocomplete_fields = ["order", "customer"]
    inlines = [PaymentInline]
