"""What one site caches another doesn't find: in caches, and in what Django remembers by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache, caches
from django.db.models.signals import pre_save
from django.template import Context, Engine
from django.test import override_settings

from catalogue.models import Product
from dbrouting.per_tenant import remembered_rows
from dbrouting.tenant_context import CurrentTenant, NoActiveTenantError, shared_context, tenant_context

IN_TURN = '{% load cache %}{% cache 60 "menu" %}{{ tea }}{% endcache %}'


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    for each in caches.all():
        each.clear()


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda: cache.set("tea", "sencha"), lambda: cache.get("tea")),
        (lambda: cache.set_many({"tea": "sencha"}), lambda: cache.get_many(["tea"]).get("tea")),
        (lambda: cache.add("tea", "sencha"), lambda: cache.get_or_set("tea", lambda: None)),
        (lambda: async_to_sync(cache.aset)("tea", "sencha"), lambda: async_to_sync(cache.aget)("tea")),
        (
            lambda: async_to_sync(cache.aset_many)({"tea": "sencha"}),
            lambda: async_to_sync(cache.aget_many)(["tea"]).get("tea"),
        ),
    ],
)
def test_a_cached_value_is_the_sites_own(
    write: Callable[[], object], read: Callable[[], object], globex: CurrentTenant
) -> None:
    write()

    assert read() == "sencha"
    for site in (tenant_context(globex, switch=True), shared_context(switch=True)):
        with site:
            assert read() is None


def test_deleting_and_counting_concern_the_own_site(globex: CurrentTenant) -> None:
    cache.set("visits", 1)
    with tenant_context(globex, switch=True):
        cache.set("visits", 100)
        cache.incr("visits")
        cache.delete("visits")

    assert cache.get("visits") == 1


def test_a_cached_fragment_is_the_sites_own(globex: CurrentTenant) -> None:
    template = Engine.get_default().from_string(IN_TURN)

    assert template.render(Context({"tea": "sencha"})) == "sencha"
    assert template.render(Context({"tea": "gyokuro"})) == "sencha"
    with tenant_context(globex, switch=True):
        assert template.render(Context({"tea": "gyokuro"})) == "gyokuro"


def test_what_is_shared_on_purpose_is_everybodys(globex: CurrentTenant) -> None:
    caches["shared"].set("rate", 7)

    with tenant_context(globex, switch=True):
        assert caches["shared"].get("rate") == 7


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    "use",
    [
        lambda: cache.get("tea"),
        lambda: cache.set("tea", "sencha"),
        lambda: cache.delete("tea"),
        lambda: async_to_sync(cache.aget)("tea"),
    ],
)
def test_without_a_site_there_is_no_cache(use: Callable[[], object]) -> None:
    with pytest.raises(NoActiveTenantError):
        use()


# What Django remembers by itself


def id_of_product() -> int:
    return ContentType.objects.get_for_model(Product).pk


def renumber(new: int) -> None:
    ContentType.objects.filter(app_label="catalogue", model="product").delete()
    ContentType.objects.create(pk=new, app_label="catalogue", model="product")


@pytest.mark.django_db
def test_content_types_are_the_sites_own(globex: CurrentTenant) -> None:
    before = id_of_product()

    with tenant_context(globex, switch=True):
        renumber(4711)
        assert id_of_product() == 4711
        assert ContentType.objects.get_for_id(4711).model == "product"
    assert id_of_product() == before
    ContentType.objects.clear_cache()


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_content_types_of_a_tenant_that_is_gone_are_not_those_of_the_next_one_at_its_alias(acme: CurrentTenant) -> None:
    with tenant_context(CurrentTenant("first", acme.name, acme.alias)):
        assert id_of_product() != 4711

    with tenant_context(CurrentTenant("second", acme.name, acme.alias)):
        renumber(4711)
        assert id_of_product() == 4711


@pytest.mark.django_db
def test_an_alias_can_be_forgotten(acme: CurrentTenant, globex: CurrentTenant) -> None:
    with tenant_context(globex, switch=True):
        id_of_product()
    before = id_of_product()

    remembered_rows.forget_alias(acme.alias)

    aliases = {place[0] for place in remembered_rows.content_types}
    assert acme.alias not in aliases
    assert globex.alias in aliases
    assert id_of_product() == before


def test_the_site_of_djangos_framework_is_the_tenants_own(
    settings: Any, acme: CurrentTenant, globex: CurrentTenant
) -> None:
    """In each tenant's database it is number 1. The framework isn't installed here, and so has no table."""
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "django.contrib.sites"], SITE_ID=1):
        from django.contrib.sites import models

        remembered_rows.keep_sites_apart()
        models.SITE_CACHE[1] = models.Site(pk=1, domain="acme.example")
        with tenant_context(globex, switch=True):
            assert 1 not in models.SITE_CACHE
            models.SITE_CACHE[1] = models.Site(pk=1, domain="globex.example")
            assert models.Site.objects.get_current().domain == "globex.example"
        assert models.Site.objects.get_current().domain == "acme.example"

        pre_save.send(models.Site, instance=models.Site(pk=1), using=globex.alias)
        assert 1 in models.SITE_CACHE
        with tenant_context(globex, switch=True):
            assert 1 not in models.SITE_CACHE
        models.Site.objects.clear_cache()
        assert 1 not in models.SITE_CACHE
        assert models.SITE_CACHE is remembered_rows.sites
