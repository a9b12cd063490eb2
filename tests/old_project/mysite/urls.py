from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import path

from orders import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view()),
    path("", views.order_list, name="order_list"),
    path("place/", views.place_order, name="place_order"),
    path("report/", views.report, name="report"),
]
