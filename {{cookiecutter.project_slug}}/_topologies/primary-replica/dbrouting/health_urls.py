from django.urls import path

from dbrouting.health_pages import healthz

urlpatterns = [path("healthz", healthz, name="healthz")]
