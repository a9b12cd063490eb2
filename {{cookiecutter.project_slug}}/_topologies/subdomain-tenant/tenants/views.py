from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dbrouting.origins import origins_of
from reference.models import Currency
from tenants.models import Domain, Tenant


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The page at the base domain. It names the tenants only in development: whose customer one is isn't public."""
    currencies = Currency.objects.all()
    domains = Domain.objects.filter(tenant__in=Tenant.objects.active()) if settings.DEBUG else Domain.objects.none()
    context = {
        "base_domain": settings.TENANT_BASE_DOMAIN,
        "port": request.get_port(),
        "domains": domains,
        "currencies": currencies,
        "origins": origins_of(currencies, domains),
    }
    return render(request, "tenants/home.html", context)
