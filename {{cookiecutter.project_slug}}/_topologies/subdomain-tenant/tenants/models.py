import uuid

from django.db import models

from config.engine import EXACT_COLLATION
from dbrouting.hosts import normalise_host
from dbrouting.tenant_names import alias_of
from tenants.validators import validate_host, validate_name


class Tenant(models.Model):
    """A customer with a site and an alias of its own. Its name is for ever: its rows' place is called after it.

    The id is random, so that no other tenant, not even a copy of this one, ever has it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Compared byte by byte: by some collations, looking up "acmé" would find "acme".
    name = models.CharField(max_length=20, unique=True, validators=[validate_name], db_collation=EXACT_COLLATION)
    created_at = models.DateTimeField(auto_now_add=True)
    is_active = models.BooleanField(default=True, help_text="Off: visitors are told that the site is closed.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def alias(self) -> str:
        return alias_of(self.name)


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
