from django.contrib import admin

from orders.models import Order, OrderLine


class OrderLineInline(admin.TabularInline):
    model = OrderLine
    extra = 0


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["pk", "customer_name", "status", "created_at"]
    list_filter = ["status"]
    search_fields = ["customer_name"]
    inlines = [OrderLineInline]
