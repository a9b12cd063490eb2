"""Rows that Django remembers for the process: content types, and ``Site`` if ``django.contrib.sites`` is installed.

It knows content types by their alias, which another tenant has once the first is deleted and its name given again;
and a ``Site`` by its number or host alone, which in every tenant's database is 1.
"""

from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import router
from django.db.models.signals import pre_delete, pre_save

from dbrouting.tenant_context import get_current_tenant


class Owned(dict[Any, Any]):
    """A dictionary in which each database of each tenant has keys of its own."""

    def place(self, key: Any) -> tuple[str, str | None, Any]:
        """The alias that ``key`` is asked of, whose that is at the moment, and ``key``."""
        raise NotImplementedError

    def __contains__(self, key: object) -> bool:
        return super().__contains__(self.place(key))

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.place(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(self.place(key), value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(self.place(key))

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return super().setdefault(self.place(key), default)

    def forget(self, alias: str) -> None:
        for place in list(self):
            if place[0] == alias:
                self.pop(place, None)


def owner_of(alias: str) -> str | None:
    """The id of the active tenant, if ``alias`` is that one's."""
    tenant = get_current_tenant()
    return tenant.id if tenant and tenant.alias == alias else None


class ContentTypes(Owned):
    """By alias, as in Django's manager."""

    def place(self, key: Any) -> tuple[str, str | None, Any]:
        return key, owner_of(key), None


class Sites(Owned):
    """By number or host."""

    def place(self, key: Any) -> tuple[str, str | None, Any]:
        alias = router.db_for_read(apps.get_app_config("sites").get_model("Site"))
        return alias, owner_of(alias), key


content_types = ContentTypes()
sites = Sites()


def forget_alias(alias: str) -> None:
    """Forget the rows of ``alias`` in this process, as when what was there is deleted."""
    content_types.forget(alias)
    sites.forget(alias)


def forget_site(using: str, **kwargs: object) -> None:
    sites.forget(using)


def keep_sites_apart() -> None:
    from django.contrib.sites import models  # only where it is installed

    models.SITE_CACHE = sites
    # Django's own makes another, plain dictionary.
    models.SiteManager.clear_cache = lambda self: sites.clear()  # type: ignore[method-assign]  # on purpose
    for signal in (pre_save, pre_delete):
        signal.disconnect(models.clear_site_cache, sender=models.Site)  # it knows no alias
        signal.connect(forget_site, sender=models.Site)


for manager in (*ContentType._meta.local_managers, ContentType.objects):  # Django copies the former afresh at times
    manager._cache = content_types  # type: ignore[attr-defined]  # Django's own, without a stub

if apps.is_installed("django.contrib.sites"):
    keep_sites_apart()
