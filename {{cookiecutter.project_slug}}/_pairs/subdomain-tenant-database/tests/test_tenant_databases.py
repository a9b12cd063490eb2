"""No tenant's database is the shared one, however the two are written."""

import runpy

import pytest

import config.databases
from config import engine
from tenants.errors import TenantError
from tenants.models import Tenant
from tenants.services import create_tenant


@pytest.mark.parametrize("server", ["the same", "the same, said twice", "another"])
def test_no_tenants_database_is_the_shared_one(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    url = engine.EXAMPLE_URL.replace("shop", "tenant_shop")
    elsewhere = (
        engine.EXAMPLE_URL.replace("data/", "elsewhere/")
        .replace("localhost", "tenants.internal")
        .replace("127.0.0.1", "tenants.internal")
    )
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("TENANT_DATABASE_PREFIX", "tenant")
    monkeypatch.setenv("TENANT_DATABASE_URL", {"the same": "", "the same, said twice": url}.get(server, elsewhere))

    databases = runpy.run_path("config/databases.py")["DATABASES"]

    assert ("tenant_shop" in databases) == (server == "another")
    assert "tenant_shops" in databases


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_a_name_that_leads_to_the_shared_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine.with_name(config.databases.TENANT_SERVER, "tmp_initech")
    monkeypatch.setattr(config.databases, "TENANT_DATABASE_PREFIX", "tmp")
    with monkeypatch.context() as patch:
        patch.setattr(config.databases, "SHARED_DATABASE", shared)
        with pytest.raises(TenantError, match=r"'initech'.*the shared database"):
            create_tenant("initech")
    assert not Tenant.objects.filter(name="initech").exists()
