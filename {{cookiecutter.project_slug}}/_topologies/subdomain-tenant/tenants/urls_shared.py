"""The shared site, at the base domain. The tenants' sites have ``config/urls.py``."""

from django.urls import include, path

from tenants.admin import shared_admin
from tenants.views import home

urlpatterns = [
    path("admin/", shared_admin.urls),
    path("", home, name="home"),
    path("", include("dbrouting.per_tenant.urls")),
]
