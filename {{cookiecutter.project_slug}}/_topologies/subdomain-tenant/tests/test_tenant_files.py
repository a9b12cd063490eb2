"""Uploaded files are the site's own: written, read, listed, served, copied and removed for it alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import Http404
from django.test import Client, RequestFactory

from dbrouting.per_tenant.files import copy_files, delete_files, serve_upload
from dbrouting.tenant_context import CurrentTenant, NoActiveTenantError, shared_context, tenant_context


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


def upload(name: str, content: str) -> str:
    return default_storage.save(name, ContentFile(content))


def content_of(name: str) -> bytes:
    with default_storage.open(name) as file:
        content: bytes = file.read()
        return content


def test_each_site_has_files_of_its_own(media: Path, acme: CurrentTenant, globex: CurrentTenant) -> None:
    assert upload("menus/tea.txt", "sencha") == "menus/tea.txt"
    with tenant_context(globex, switch=True):
        assert not default_storage.exists("menus/tea.txt")
        assert upload("menus/tea.txt", "gyokuro") == "menus/tea.txt"
        default_storage.delete("menus/tea.txt")
        assert default_storage.listdir("menus") == ([], [])
    with shared_context(switch=True):
        assert upload("menus/tea.txt", "terms") == "menus/tea.txt"

    assert content_of("menus/tea.txt") == b"sencha"
    assert (media / str(acme.id) / "menus" / "tea.txt").read_text() == "sencha"
    assert (media / "shared" / "menus" / "tea.txt").read_text() == "terms"


@pytest.mark.parametrize(
    "use",
    [
        lambda name: default_storage.path(name),
        lambda name: default_storage.open(name),
        lambda name: default_storage.save(name, ContentFile("mine")),
        lambda name: default_storage.delete(name),
        lambda name: default_storage.exists(name),
        lambda name: default_storage.listdir(name),
    ],
)
def test_no_name_leads_to_another_sites_folder(
    use: Callable[[str], object], media: Path, globex: CurrentTenant
) -> None:
    with tenant_context(globex, switch=True):
        upload("tea.txt", "gyokuro")

    for name in (f"../{globex.id}/tea.txt", str(media / str(globex.id) / "tea.txt"), "a/../../tea.txt"):
        with pytest.raises(SuspiciousFileOperation):
            use(name)


@pytest.mark.no_tenant
def test_without_a_site_there_are_no_files() -> None:
    with pytest.raises(NoActiveTenantError):
        upload("tea.txt", "sencha")
    with pytest.raises(NoActiveTenantError):
        default_storage.exists("tea.txt")


# Served


@pytest.mark.django_db
def test_in_development_a_file_is_served_at_its_sites_hosts_alone(site_client: Client, settings: Any) -> None:
    settings.DEBUG = True
    url = default_storage.url(upload("tea.txt", "sencha"))

    assert url == "/media/tea.txt"
    assert b"".join(site_client.get(url)) == b"sencha"
    for host in ("globex.localhost", "localhost"):
        assert site_client.get(url, headers={"host": host}).status_code == 404


@pytest.mark.parametrize("debug", [True, False])
def test_no_path_is_served_that_leads_out_of_the_sites_folder(
    debug: bool, settings: Any, globex: CurrentTenant
) -> None:
    settings.DEBUG = debug
    settings.TENANT_UPLOADS_PREFIX = "/uploads/"
    with tenant_context(globex, switch=True):
        upload("tea.txt", "gyokuro")

    with pytest.raises((SuspiciousFileOperation, Http404)):
        serve_upload(RequestFactory().get("/"), f"../{globex.id}/tea.txt")


@pytest.mark.django_db
def test_in_production_the_web_server_is_told_whose_file_it_is(
    site_client: Client, settings: Any, acme: CurrentTenant
) -> None:
    settings.TENANT_UPLOADS_PREFIX = "/uploads/"

    response = site_client.get("/media/menus/gr%C3%BCner%20tee.txt")

    assert response["X-Accel-Redirect"] == f"/uploads/{acme.id}/menus/gr%C3%BCner%20tee.txt"
    assert "Content-Type" not in response
    assert response.content == b""


@pytest.mark.django_db
def test_otherwise_nobody_serves_it(site_client: Client) -> None:
    assert site_client.get(default_storage.url(upload("tea.txt", "sencha"))).status_code == 404


def test_at_a_host_for_all_uploads_the_address_says_whose_it_is(settings: LazySettings, acme: CurrentTenant) -> None:
    settings.MEDIA_URL = "https://uploads.example.net/"

    assert default_storage.url("a tea.txt") == f"https://uploads.example.net/{acme.id}/a%20tea.txt"


# The life of a tenant


def test_a_copy_of_a_site_begins_with_its_files(media: Path, acme: CurrentTenant, globex: CurrentTenant) -> None:
    upload("menus/tea.txt", "sencha")
    with tenant_context(globex, switch=True):
        upload("half.txt", "left by an interrupted run")

    copy_files(str(acme.id), str(globex.id))

    upload("menus/new.txt", "matcha")
    with tenant_context(globex, switch=True):
        assert content_of("menus/tea.txt") == b"sencha"
        assert not default_storage.exists("menus/new.txt")
        assert not default_storage.exists("half.txt")


def test_a_site_without_files_is_copied_too(media: Path) -> None:
    copy_files("one", "other")

    assert not (media / "other").exists()


def test_files_are_removed_with_their_site(acme: CurrentTenant, globex: CurrentTenant) -> None:
    for tenant in (acme, globex):
        with tenant_context(tenant, switch=True):
            upload("tea.txt", "sencha")

    delete_files(str(globex.id))
    delete_files(str(globex.id))

    assert default_storage.exists("tea.txt")
    with tenant_context(globex, switch=True):
        assert not default_storage.exists("tea.txt")


@pytest.mark.parametrize("site", ["", ".", "..", "../x", "/", "a/b", ".hidden"])
def test_what_is_no_id_names_no_folder(site: str, media: Path) -> None:
    upload("tea.txt", "sencha")

    with pytest.raises(SuspiciousFileOperation):
        delete_files(site)
    assert default_storage.exists("tea.txt")
