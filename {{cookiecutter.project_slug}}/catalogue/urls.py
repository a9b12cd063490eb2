from django.urls import path

from catalogue import views

app_name = "catalogue"

urlpatterns = [
    path("", views.product_list, name="product_list"),
    path("products/<slug:slug>/", views.product_detail, name="product_detail"),
    path("api/products/", views.product_api, name="product_api"),
]
