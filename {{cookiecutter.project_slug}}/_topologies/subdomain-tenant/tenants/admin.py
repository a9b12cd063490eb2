"""The admin of the shared site: the tenants, and what exists once.

A site of its own, for the staff of a tenant has no business here. The tenants' admin is Django's ``admin.site``.
"""

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest

from dbrouting.hosts import normalise_host
from reference.models import Currency
from tenants.models import Domain, Tenant

shared_admin = admin.AdminSite(name="admin")
shared_admin.site_header = "Tenants"
shared_admin.register(get_user_model(), UserAdmin)
shared_admin.register(Group, GroupAdmin)


class DomainForm(forms.ModelForm):
    """Rows are compared with each other before the model cleans them, so two spellings of a host would pass."""

    def clean_host(self) -> str:
        written: str = self.cleaned_data["host"]
        return normalise_host(written) or written


class DomainInline(admin.TabularInline):
    model = Domain
    form = DomainForm
    extra = 0


@admin.register(Tenant, site=shared_admin)
class TenantAdmin(admin.ModelAdmin):
    """Tenants come and go by ``create_tenant``: a row alone has no database."""

    list_display = ["name", "state", "created_at"]
    list_filter = ["state"]
    readonly_fields = ["name", "state", "created_at"]
    search_fields = ["name", "domains__host"]
    inlines = [DomainInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Currency, site=shared_admin)
class CurrencyAdmin(admin.ModelAdmin):
    list_display = ["code", "name"]
