from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    *(path("", include(urls)) for urls in settings.DATABASE_URLS),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.urls")),
    path("orders/", include("orders.urls")),
    path("", include("catalogue.urls")),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),  # in development; otherwise none
]
