from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from catalogue.models import Category, Product
from dbrouting.origins import origins_of


@require_safe
def product_list(request: HttpRequest) -> HttpResponse:
    categories = Category.objects.all()
    products = Product.objects.select_related("category")
    chosen = None
    if slug := request.GET.get("category"):
        chosen = get_object_or_404(categories, slug=slug)
        products = products.filter(category=chosen)
    context = {
        "categories": categories,
        "chosen": chosen,
        "products": products,
        "origins": origins_of(categories, products, [request.user]),
    }
    return render(request, "catalogue/product_list.html", context)


@require_safe
def product_detail(request: HttpRequest, slug: str) -> HttpResponse:
    product = get_object_or_404(Product.objects.select_related("category"), slug=slug)
    origins = origins_of([product, product.category, request.user])
    return render(request, "catalogue/product_detail.html", {"product": product, "origins": origins})


@require_safe
async def product_api(request: HttpRequest) -> JsonResponse:
    """The catalogue as JSON, read without leaving the event loop: routers answer there too."""
    products = [product async for product in Product.objects.select_related("category")]
    return JsonResponse(
        {
            "products": [_as_json(product) for product in products],
            "databases": list(origins_of(products)),
        }
    )


def _as_json(product: Product) -> dict[str, Any]:
    """Prices become strings: a JSON number would be read as a float."""
    return {
        "slug": product.slug,
        "name": product.name,
        "category": product.category.slug,
        "price": str(product.price),
        "stock": product.stock,
        "is_orderable": product.is_orderable,
    }
