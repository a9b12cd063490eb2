from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts.requests import AuthenticatedHttpRequest
from catalogue.models import Product
from dbrouting.origins import origins_of
from orders.forms import PlaceOrderForm
from orders.models import Order
from orders.services import ProductNotOrderableError, place_order


@login_required
@require_safe
def order_list(request: AuthenticatedHttpRequest) -> HttpResponse:
    orders = Order.objects.filter(customer_id=request.user.pk).prefetch_related("lines")
    lines = [line for order in orders for line in order.lines.all()]
    context = {"orders": orders, "origins": origins_of(orders, lines, [request.user])}
    return render(request, "orders/order_list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def order_place(request: AuthenticatedHttpRequest) -> HttpResponse:
    """Place an order and redirect to the orders, or show the form again with what is wrong.

    GET shows the empty form: whoever had to log in first comes back by GET.
    """
    if request.method != "POST":
        return _order_form(request, PlaceOrderForm(), HTTPStatus.OK)
    form = PlaceOrderForm(request.POST)
    if not form.is_valid():
        return _order_form(request, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        place_order(request.user, {form.cleaned_data["product"].pk: form.cleaned_data["quantity"]})
    except ProductNotOrderableError as error:
        form.add_error("product", str(error))
        return _order_form(request, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    messages.success(request, "Thank you! Your order is placed.")
    return redirect("orders:order_list")


def _order_form(request: AuthenticatedHttpRequest, form: PlaceOrderForm, status: HTTPStatus) -> HttpResponse:
    context = {"form": form, "origins": origins_of(Product.objects.orderable(), [request.user])}
    return render(request, "orders/order_place.html", context, status=status)
