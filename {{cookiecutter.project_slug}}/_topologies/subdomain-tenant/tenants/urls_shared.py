"""The shared site, at the base domain. The tenants' sites have ``config/urls.py``."""

from django.conf import settings
from django.conf.urls.static import static
from django.urls import path

from tenants.admin import shared_admin
from tenants.views import home

urlpatterns = [
    path("admin/", shared_admin.urls),
    path("", home, name="home"),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
