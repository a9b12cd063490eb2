import uuid
from typing import Any, Self

from django.db import models

from config.engine import EXACT_COLLATION
from dbrouting.hosts import normalise_host
from dbrouting.tenant_names import MAX_LENGTH, alias_of
from tenants.validators import validate_host, validate_name


class TenantQuerySet(models.QuerySet["Tenant"]):
    def active(self) -> Self:
        """Those whose sites are open."""
        return self.filter(state=Tenant.State.ACTIVE)


class Tenant(models.Model):
    """A customer with a site, and an alias of its own.

    The id is random, so that no other tenant, not even a copy of this one, ever has it. The name may change; the key is
    for ever, for the tenant's rows are found by it.
    """

    class State(models.TextChoices):
        """What is half made or half removed is never served. Whoever made it so may have been killed meanwhile."""

        CREATING = "creating"
        ACTIVE = "active"
        SUSPENDED = "suspended"
        DELETING = "deleting"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Compared byte by byte: by some collations, looking up "acmé" would find "acme".
    name = models.CharField(
        max_length=MAX_LENGTH, unique=True, validators=[validate_name], db_collation=EXACT_COLLATION
    )
    key = models.CharField(max_length=MAX_LENGTH, unique=True, editable=False, db_collation=EXACT_COLLATION)
    state = models.CharField(max_length=10, choices=State.choices, default=State.CREATING, editable=False)
    migrations = models.TextField(default="", editable=False, help_text="Applied there, an app.name in each line.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.key = self.key or self.name
        super().save(*args, **kwargs)

    @property
    def alias(self) -> str:
        return alias_of(self.key or self.name)

    @property
    def is_active(self) -> bool:
        return self.state == self.State.ACTIVE


class Domain(models.Model):
    """A host name at which a tenant's site is served; ``www.`` before it leads there too."""

    host = models.CharField(max_length=253, unique=True, validators=[validate_host], db_collation=EXACT_COLLATION)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="domains")

    class Meta:
        ordering = ["host"]

    def __str__(self) -> str:
        return self.host

    def clean(self) -> None:
        self.host = normalise_host(self.host) or self.host  # the field's validator refuses what is no host


class Blueprint(models.Model):
    """What new tenants' places are made from, where that is a script; or why there can be none, and each is migrated.

    The fingerprint tells which migrations it is the outcome of.
    """

    fingerprint = models.CharField(max_length=64, primary_key=True)
    script = models.TextField()
    refusal = models.TextField()
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.fingerprint
