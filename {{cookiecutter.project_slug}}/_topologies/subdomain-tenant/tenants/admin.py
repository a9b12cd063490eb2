"""The admin of the shared site: the tenants, and what exists once.

A site of its own, for the staff of a tenant has no business here. The tenants' admin is Django's ``admin.site``.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError
from django.db.models import Model, QuerySet
from django.forms import BaseModelFormSet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from dbrouting.hosts import normalise_host
from reference.models import Currency
from tenants.errors import EXPLAINED
from tenants.losses import losses_of
from tenants.models import Domain, Tenant
from tenants.services import (
    add_domain,
    clone_tenant,
    create_tenant,
    delete_tenant,
    hosts_of,
    remove_domain,
    rename_tenant,
    resume_tenant,
    suspend_tenant,
)
from tenants.validators import validate_name

# Those, and what `migrate` refuses, which may be a step of the work.
TOLD = (*EXPLAINED, CommandError)

shared_admin = admin.AdminSite(name="admin")
shared_admin.site_header = "Tenants"
shared_admin.register(get_user_model(), UserAdmin)
shared_admin.register(Group, GroupAdmin)


class NewTenantForm(forms.Form):
    name = forms.CharField(validators=[validate_name], help_text="Lower-case letters, digits and _.")
    hosts = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One in a line. Without any, its subdomain of the base domain.",
    )

    def clean_hosts(self) -> list[str]:
        written: str = self.cleaned_data["hosts"]
        return written.split()


class CloneForm(NewTenantForm):
    suspended = forms.BooleanField(required=False, help_text="Leave its site closed.")


class DeletionForm(forms.Form):
    name = forms.CharField(label="Its name", help_text="Type it, to delete the tenant.")

    def __init__(self, *args: Any, tenant: Tenant) -> None:
        super().__init__(*args)
        self.tenant = tenant

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.tenant.name:
            raise forms.ValidationError("That is not its name.")
        return name


class DomainForm(forms.ModelForm):
    """Rows are compared with each other before the model cleans them, so two spellings of a host would pass."""

    def clean_host(self) -> str:
        written: str = self.cleaned_data["host"]
        return normalise_host(written) or written


class DomainInline(admin.TabularInline):
    """A host is added or removed, never turned into another."""

    model = Domain
    form = DomainForm
    extra = 0

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Tenant, site=shared_admin)
class TenantAdmin(admin.ModelAdmin):
    """What the commands do to tenants, by the same functions.

    Django adds and deletes in a transaction, in which nothing can be announced, nor a database made on most servers. So
    these pages are our own.
    """

    list_display = ["name", "state", "hosts", "alias", "created_at"]
    list_filter = ["state"]
    fields = ["name", "state", "alias", "created_at"]
    readonly_fields = ["state", "alias", "created_at"]
    search_fields = ["name", "domains__host"]
    inlines = [DomainInline]
    actions = ["suspend", "resume"]

    def get_urls(self) -> list[URLPattern]:
        clone = self.admin_site.admin_view(self.clone_view)
        return [path("<path:object_id>/clone/", clone, name="tenants_tenant_clone"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).prefetch_related("domains")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """One at a time: Django's deletion of many would remove rows only."""
        return obj is not None and super().has_delete_permission(request, obj)

    @admin.display
    def hosts(self, tenant: Tenant) -> str:
        return hosts_of(tenant)

    @admin.action(description="Suspend selected tenants", permissions=["change"])
    def suspend(self, request: HttpRequest, tenants: QuerySet[Tenant]) -> None:
        self.act_on_each(request, tenants, suspend_tenant, "is suspended")

    @admin.action(description="Resume selected tenants", permissions=["change"])
    def resume(self, request: HttpRequest, tenants: QuerySet[Tenant]) -> None:
        self.act_on_each(request, tenants, resume_tenant, "is open")

    def act_on_each(
        self, request: HttpRequest, tenants: QuerySet[Tenant], act: Callable[[Tenant], bool], outcome: str
    ) -> None:
        for tenant in tenants:
            try:
                if act(tenant):
                    self.log_change(request, tenant, outcome)
            except TOLD as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{tenant} {outcome}.", messages.SUCCESS)

    # Django's page for a change. What a service refuses is told on it, and nothing is changed.

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except TOLD as error:
            if request.method != "POST":
                raise
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm, change: bool) -> None:
        if "name" in form.changed_data:
            rename_tenant(obj, obj.name)

    def save_formset(
        self, request: HttpRequest, form: forms.ModelForm, formset: BaseModelFormSet, change: bool
    ) -> None:
        """New ones first: the last host of a tenant can't be removed."""
        formset.save(commit=False)
        for domain in formset.new_objects:
            add_domain(domain.tenant, domain.host)
        for domain in formset.deleted_objects:
            domain.refresh_from_db()  # it may have been renamed with its tenant
            remove_domain(domain.host)

    # Our own pages, outside of any transaction.

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied

        def create(name: str, hosts: list[str]) -> str:
            tenant = create_tenant(name, *hosts)
            self.log_addition(request, tenant, [{"added": {}}])
            return f"Created the tenant {tenant}, at {hosts_of(tenant)}."

        return self.work(request, NewTenantForm(request.POST or None), create, title="Add tenant", button="Create")

    def clone_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        source = self.found(request, object_id)
        if not (self.has_add_permission(request) and self.has_view_permission(request, source)):
            raise PermissionDenied

        def clone(name: str, hosts: list[str], suspended: bool) -> str:
            tenant = clone_tenant(source, name, *hosts, suspended=suspended)
            self.log_addition(request, tenant, f"cloned {source}")
            return f"Cloned {source} as {tenant}, at {hosts_of(tenant)}."

        form = CloneForm(request.POST or None)
        return self.work(request, form, clone, title=f"Clone {source}", button="Clone", original=source)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tenant = self.found(request, object_id)
        if not self.has_delete_permission(request, tenant):
            raise PermissionDenied

        def delete(name: str) -> str:
            deleted = Tenant.objects.filter(pk=tenant.pk)
            len(deleted)  # read now, for the log
            delete_tenant(tenant)
            self.log_deletions(request, deleted)
            return f"Deleted the tenant {name}."

        form = DeletionForm(request.POST or None, tenant=tenant)
        lost = [] if form.is_bound else losses_of(tenant)
        return self.work(
            request, form, delete, title=f"Delete {tenant}", button="Delete for good", original=tenant, lost=lost
        )

    def found(self, request: HttpRequest, object_id: str) -> Tenant:
        tenant: Tenant | None = self.get_object(request, object_id)
        if tenant is None:
            raise Http404(f"There is no tenant with the id {object_id!r}.")
        return tenant

    def work(self, request: HttpRequest, form: forms.Form, act: Callable[..., str], **context: Any) -> HttpResponse:
        """Show ``form``, or call ``act`` with what it says, and tell what came of it."""
        if form.is_valid():
            try:
                done = act(**form.cleaned_data)
            except TOLD as error:
                form.add_error(None, str(error))
            else:
                self.message_user(request, done, messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:tenants_tenant_changelist"))
        page = {**self.admin_site.each_context(request), "opts": self.opts, "form": form, **context}
        return TemplateResponse(request, "tenants/work.html", page)


@admin.register(Currency, site=shared_admin)
class CurrencyAdmin(admin.ModelAdmin):
    list_display = ["code", "name"]
