"""A page of three queries, which shows whose rows it found."""

from django.db.models import Count, Sum
from django.http import HttpRequest, JsonResponse
from django.urls import path

from catalogue.models import Category, Product
from orders.models import OrderLine


def page(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "categories": list(Category.objects.values("name")),
            "products": [f"{one.category.name} {one.name}" for one in Product.objects.select_related("category")],
            "sold": OrderLine.objects.aggregate(Count("pk"), Sum("quantity")),
        }
    )


urlpatterns = [path("", page)]
