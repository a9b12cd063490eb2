"""Log-in and log-out only; add `django.contrib.auth.urls` when you need password resets by mail."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

urlpatterns = [
    path(
        "login/",
        LoginView.as_view(next_page="orders:order_list", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout/", LogoutView.as_view(next_page="catalogue:product_list"), name="logout"),
]
