"""The shared site's staff do in the admin what the commands do, and see there what was refused."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import CommandError
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client

from accounts.factories import UserFactory
from dbrouting.tenant_context import CurrentTenant, shared_context, tenant_context
from tenants import services
from tenants.models import Domain, Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]

LIST = "/admin/tenants/tenant/"
ADD = f"{LIST}add/"


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> list[str]:
    """What was made and dropped on the server, where nothing is in these tests."""
    settings.TENANT_LOOKUP_SECONDS = 0
    done: list[str] = []

    def note(what: str) -> Callable[..., None]:
        return lambda *aliases: done.append(" ".join((what, *aliases)))

    for what in ("make", "copy", "drop"):
        monkeypatch.setattr(services, f"{what}_place", note(what))
    monkeypatch.setattr(services, "place_exists", lambda alias: False)
    return done


@pytest.fixture
def client() -> Client:
    """A superuser of the shared site."""
    return client_of(is_superuser=True)


def client_of(*permissions: str, **attributes: Any) -> Client:
    with shared_context():
        user = UserFactory.create(is_staff=True, **attributes)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(headers={"host": "localhost"})
        client.force_login(user)
    return client


def page_of(name: str, page: str = "change") -> str:
    return f"{LIST}{Tenant.objects.get(name=name).pk}/{page}/"


def domains(*hosts: str, **fields: str) -> dict[str, str]:
    """The form of a tenant, with ``hosts`` as new ones."""
    rows = {f"domains-{number}-host": host for number, host in enumerate(hosts)}
    return {"domains-TOTAL_FORMS": str(len(hosts)), "domains-INITIAL_FORMS": "0", **rows, **fields}


def without(name: str, *hosts: str) -> dict[str, str]:
    """The form of a tenant, in which its one host is ticked off, with ``hosts`` as new ones."""
    domain = Domain.objects.get(tenant__name=name)
    ticked = {"domains-0-id": str(domain.pk), "domains-0-tenant": str(domain.tenant_id), "domains-0-DELETE": "on"}
    rows = {f"domains-{number}-host": host for number, host in enumerate(hosts, 1)}
    return {"domains-TOTAL_FORMS": str(1 + len(hosts)), "domains-INITIAL_FORMS": "1", **ticked, **rows, "name": name}


def hosts_of(name: str) -> list[str]:
    return [domain.host for domain in Domain.objects.filter(tenant__name=name)]


def told(response: Any) -> str:
    """The page that the browser is at in the end."""
    final: HttpResponse = response
    assert final.status_code == HTTPStatus.OK
    return final.content.decode()


def test_a_tenant_is_made_with_its_place(client: Client, places: list[str]) -> None:
    page = told(client.post(ADD, {"name": "initech", "hosts": "Shop.example\r\ninitech.localhost"}, follow=True))

    assert "Created the tenant initech, at initech.localhost, shop.example." in page
    assert places == ["make tenant_initech"]
    assert Tenant.objects.get(name="initech").is_active
    with shared_context():
        assert LogEntry.objects.filter(object_repr="initech").exists()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": "acme"}, "There is a tenant called &#x27;acme&#x27; already"),
        ({"name": "Initech"}, "can&#x27;t be the name of a tenant"),
        ({"name": ""}, "This field is required"),
        ({"name": "initech", "hosts": "acme.localhost"}, "acme.localhost: Domain with this Host already exists"),
        ({"name": "initech", "hosts": "x.example localhost"}, "localhost&#x27; is the base domain"),
    ],
)
def test_what_a_tenant_cannot_have_is_told_on_the_form(client: Client, fields: dict[str, str], complaint: str) -> None:
    assert complaint in told(client.post(ADD, fields))
    assert Tenant.objects.count() == 2


@pytest.mark.parametrize("error", [OperationalError, OSError, CommandError])
def test_a_failure_on_the_server_is_told_and_leaves_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(alias: str) -> None:
        raise error("disk full")

    monkeypatch.setattr(services, "make_place", fail)

    assert "disk full" in told(client.post(ADD, {"name": "initech"}))
    assert Tenant.objects.count() == 2


def test_a_tenant_is_cloned(client: Client, places: list[str]) -> None:
    assert page_of("acme", "clone") in told(client.get(page_of("acme")))

    page = told(client.post(page_of("acme", "clone"), {"name": "initech", "suspended": "on"}, follow=True))

    assert "Cloned acme as initech, at initech.localhost." in page
    assert places == ["copy tenant_acme tenant_initech"]
    assert Tenant.objects.get(name="initech").state == Tenant.State.SUSPENDED
    assert "There is a tenant called" in told(client.post(page_of("acme", "clone"), {"name": "globex"}))


def test_a_tenant_is_deleted_by_who_types_its_name(client: Client, places: list[str]) -> None:
    url = page_of("acme", "delete")

    assert "the hosts acme.localhost" in told(client.get(url))
    assert "That is not its name." in told(client.post(url, {"name": "globex"}))
    assert places == []

    assert "Deleted the tenant acme." in told(client.post(url, {"name": "acme"}, follow=True))
    assert places == ["drop tenant_acme"]
    assert not Tenant.objects.filter(name="acme").exists()
    assert not Domain.objects.filter(host="acme.localhost").exists()
    assert client.get(url).status_code == HTTPStatus.NOT_FOUND


def test_no_action_removes_rows_and_leaves_the_place(client: Client) -> None:
    acme = Tenant.objects.get(name="acme")

    client.post(LIST, {"action": "delete_selected", "_selected_action": str(acme.pk), "post": "yes"})

    assert "delete_selected" not in told(client.get(LIST))
    assert Tenant.objects.filter(name="acme").exists()


def test_a_tenant_is_renamed_and_its_subdomain_with_it(client: Client) -> None:
    told(client.post(page_of("acme"), domains("acme.example", name="umbrella"), follow=True))

    umbrella = Tenant.objects.get(name="umbrella")
    assert umbrella.alias == "tenant_acme"
    assert hosts_of("umbrella") == ["acme.example", "umbrella.localhost"]


def test_domains_are_added_as_browsers_send_them(client: Client) -> None:
    told(client.post(page_of("acme"), domains("Initech.Example.", "BÜCHER.example", name="acme"), follow=True))

    assert hosts_of("acme") == ["acme.localhost", "initech.example", "xn--bcher-kva.example"]


def test_a_domain_is_removed_unless_it_is_the_last(client: Client) -> None:
    refused = told(client.post(page_of("acme"), without("acme"), follow=True))
    assert "is the only host of &#x27;acme&#x27;" in refused
    assert hosts_of("acme") == ["acme.localhost"]

    told(client.post(page_of("acme"), without("acme", "shop.example"), follow=True))
    assert hosts_of("acme") == ["shop.example"]


def test_a_tenant_may_be_renamed_while_its_subdomain_is_removed(client: Client) -> None:
    told(client.post(page_of("acme"), {**without("acme", "shop.example"), "name": "umbrella"}, follow=True))

    assert hosts_of("umbrella") == ["shop.example"]


def test_a_host_is_not_turned_into_another(client: Client) -> None:
    form = {key: value for key, value in without("acme").items() if "DELETE" not in key}

    told(client.post(page_of("acme"), {**form, "domains-0-host": "shop.example"}, follow=True))

    assert hosts_of("acme") == ["acme.localhost"]


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        (domains("same.example", "SAME.example.", name="acme"), "duplicate"),
        (domains("GLOBEX.localhost", name="acme"), "already exists"),
        (domains("http://x", name="acme"), "is no host name"),
        (domains(name="globex"), "already exists"),
        (domains(name="Acme"), "can&#x27;t be the name"),
    ],
)
def test_a_change_that_cannot_be_made_is_told_and_changes_nothing(
    client: Client, form: dict[str, str], complaint: str
) -> None:
    assert complaint in told(client.post(page_of("acme"), form))
    assert hosts_of("acme") == ["acme.localhost"]


def test_a_change_that_a_service_refuses_is_undone_and_told(client: Client) -> None:
    """The host of the new name is another's, which no field of the form says."""
    Domain.objects.filter(tenant__name="globex").update(host="umbrella.localhost")

    page = told(client.post(page_of("acme"), domains("new.example", name="umbrella"), follow=True))

    assert "localhost: Domain with this Host already exists" in page
    assert hosts_of("acme") == ["acme.localhost"]


def test_tenants_are_suspended_and_resumed(client: Client) -> None:
    selected = {"_selected_action": [str(tenant.pk) for tenant in Tenant.objects.all()]}

    assert "Acme is suspended." in told(client.post(LIST, {"action": "suspend", **selected}, follow=True))
    assert not Tenant.objects.active().exists()

    assert "Globex is open." in told(client.post(LIST, {"action": "resume", **selected}, follow=True))
    assert Tenant.objects.active().count() == 2


def test_what_is_half_made_is_shown_and_can_only_be_deleted(client: Client) -> None:
    half_made = Tenant.objects.create(name="initech", state=Tenant.State.CREATING)
    resume = {"action": "resume", "_selected_action": str(half_made.pk)}

    for response in (
        client.post(LIST, resume, follow=True),
        client.post(page_of("initech"), domains(name="hooli"), follow=True),
        client.post(page_of("initech", "clone"), {"name": "hooli"}),
    ):
        assert "its state is creating" in told(response)
    assert "Deleted" in told(client.post(page_of("initech", "delete"), {"name": "initech"}, follow=True))


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        (["view_tenant"], set()),
        (["add_tenant"], {"add"}),
        (["add_tenant", "view_tenant"], {"add", "clone"}),
        (["view_tenant", "delete_tenant"], {"delete"}),
        (["add_tenant", "change_tenant", "delete_tenant"], {"add", "clone", "delete"}),
    ],
)
def test_staff_may_do_what_their_permissions_say(permissions: list[str], allowed: set[str]) -> None:
    client = client_of(*permissions)
    pages = {"add": ADD, **{page: page_of("acme", page) for page in ("clone", "delete")}}

    for method in (client.get, client.post):
        answers = {page: method(url).status_code for page, url in pages.items()}
        assert {page for page, status in answers.items() if status == HTTPStatus.OK} == allowed
        assert {status for page, status in answers.items() if page not in allowed} <= {HTTPStatus.FORBIDDEN}


def test_who_may_not_change_tenants_suspends_none() -> None:
    acme = Tenant.objects.get(name="acme")

    client_of("view_tenant").post(LIST, {"action": "suspend", "_selected_action": str(acme.pk)})

    acme.refresh_from_db()
    assert acme.is_active


def test_the_staff_of_a_tenant_cannot_see_the_tenants(site_client: Client, acme: CurrentTenant) -> None:
    with tenant_context(acme):
        site_client.force_login(UserFactory.create(is_staff=True, is_superuser=True))

    assert "tenants" not in told(site_client.get("/admin/")).lower()
    assert site_client.get(LIST).status_code == HTTPStatus.NOT_FOUND
