from django.contrib.auth.decorators import login_required
from django.db import connection, transaction
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt

from catalogue.models import Product
from notes.models import Note
from orders.models import Order


def order_list(request):
    orders = Order.objects.select_related("customer").prefetch_related("lines__product", "labels")
    notes = Note.objects.select_related("author").prefetch_related("target")
    return render(request, "orders/order_list.html", {"orders": orders, "notes": notes})


@csrf_exempt
@login_required
def place_order(request):
    product = Product.objects.get(pk=request.POST["product"])
    with transaction.atomic():
        number = Order.objects.filter(customer=request.user).count() + 1
        order = Order.objects.create(customer=request.user, number=number)
        order.lines.create(product=product, quantity=1, price=product.price)
        product.sold += 1
        product.save()
    return redirect("order_list")


def report(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT status, COUNT(*) FROM orders_order GROUP BY status ORDER BY status")
        return JsonResponse(dict(cursor.fetchall()))
