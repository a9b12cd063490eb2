"""Every way to write a host, and whose site is there; what is remembered of it, and for how long."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, ProgrammingError, connections
from django.test import Client

from catalogue.factories import ProductFactory
from conftest import AsyncClientOf
from dbrouting import site_cache
from dbrouting.hosts import normalise_host, spellings
from dbrouting.middleware import SubdomainTenantMiddleware
from dbrouting.tenant_context import CurrentTenant, tenant_context
from tenants import lookup
from tenants.lookup import FoundTenant, find_tenant
from tenants.models import Domain, Tenant

NOBODY, SHARED, CLOSED, MALFORMED = "nobody", "shared", "closed", "malformed"

HOSTS = [
    # A tenant's subdomain, however it is written
    ("acme.localhost", "acme"),
    ("globex.localhost", "globex"),
    ("ACME.LocalHost", "acme"),
    ("acme.localhost:8000", "acme"),
    ("acme.localhost.", "acme"),
    ("Acme.localhost.:8000", "acme"),
    # "www." leads where the bare name does, once, and not the other way round
    ("www.acme.localhost", "acme"),
    ("WWW.acme.localhost.:80", "acme"),
    ("www.www.acme.localhost", NOBODY),
    ("www.shop.test", "acme"),
    ("shop.test", NOBODY),
    ("www.both.test", "acme"),
    ("both.test", "globex"),
    # What is below a tenant's host is its only if it says so
    ("a.acme.localhost", NOBODY),
    ("eu.acme.localhost", "globex"),
    # Domains of a tenant's own, also beyond ASCII: browsers send punycode
    ("acme.example", "acme"),
    ("second.acme.example", "acme"),
    ("xn--bcher-kva.test", "globex"),
    ("XN--BCHER-KVA.test:443", "globex"),
    ("bücher.test", MALFORMED),
    # Addresses
    ("127.0.0.1", NOBODY),
    ("127.0.0.1:8000", NOBODY),
    ("[::1]", NOBODY),
    ("[::1]:8000", NOBODY),
    ("192.0.2.7", "acme"),  # it has a row
    ("[2001:db8::7]:8000", "acme"),  # likewise
    ("2001:db8::7", MALFORMED),
    # The shared site
    ("localhost", SHARED),
    ("LOCALHOST:8000", SHARED),
    ("localhost.", SHARED),
    ("www.localhost", SHARED),
    # Nobody's
    ("stranger.localhost", NOBODY),
    ("acme.localhost.example.com", NOBODY),
    ("acmelocalhost", NOBODY),
    ("acme", NOBODY),
    ("acme.localhost..", NOBODY),
    (".acme.localhost", NOBODY),
    # Closed, and not there yet or any more
    ("closed.localhost", CLOSED),
    ("www.closed.localhost", CLOSED),
    ("made.localhost", NOBODY),
    ("removed.localhost", NOBODY),
    # A static route wins over the table
    ("legacy.test", "acme"),
    ("globex.test", "globex"),
    # No host at all; two Host headers arrive as one with a comma
    ("", MALFORMED),
    ("acme.localhost,globex.localhost", MALFORMED),
    ("acme.localhost globex.localhost", MALFORMED),
    ("acme.localhost:port", MALFORMED),
    ("acme.localhost/", MALFORMED),
    ("user@acme.localhost", MALFORMED),
    ("ac_me.localhost", MALFORMED),
    ("acme.localhost\x00", MALFORMED),
]
STATUS = {NOBODY: HTTPStatus.NOT_FOUND, CLOSED: HTTPStatus.SERVICE_UNAVAILABLE, MALFORMED: HTTPStatus.BAD_REQUEST}


pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _sites(db: None, settings: LazySettings, acme: CurrentTenant, globex: CurrentTenant) -> None:
    """Tenants in every state, with domains of many kinds, and a product for each that says whose it is."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.DYNAMIC_DB_ROUTES = {"legacy.test": acme.alias, "globex.test": globex.alias}
    for name, state in (("closed", "SUSPENDED"), ("made", "CREATING"), ("removed", "DELETING")):
        Tenant.objects.create(name=name, state=Tenant.State[state])
    domains = {
        "acme": ["www.shop.test", "www.both.test", "globex.test", "acme.example", "second.acme.example"],
        "globex": ["eu.acme.localhost", "xn--bcher-kva.test", "both.test"],
        **{name: [f"{name}.localhost"] for name in ("closed", "made", "removed")},
    }
    domains["acme"] += ["192.0.2.7", "[2001:db8::7]"]
    tenants = {tenant.name: tenant for tenant in Tenant.objects.all()}
    Domain.objects.bulk_create(Domain(host=host, tenant=tenants[name]) for name in domains for host in domains[name])
    for current in (acme, globex):
        with tenant_context(current, switch=True):
            ProductFactory.create(name=f"Made for {current.name}")


def visit(host: str, path: str = "/accounts/login/", **headers: str) -> Any:
    return Client(headers={"host": host, **headers}).get(path)


@contextmanager
def databases_asked() -> Iterator[list[str]]:
    """The alias of each query in the block."""
    asked: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        asked.append(context["connection"].alias)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(note))
        yield asked


@pytest.mark.no_tenant
@pytest.mark.parametrize(("host", "whose"), HOSTS)
def test_a_host_is_served_by_its_site(host: str, whose: str) -> None:
    for response in (visit(host, "/"), async_to_sync(AsyncClientOf(host).get)("/")):
        assert response.status_code == STATUS.get(whose, HTTPStatus.OK)
        page = response.content.decode()
        shown = {name for name in ("acme", "globex") if f"Made for {name}" in page}
        assert shown == {whose} & {"acme", "globex"}
        assert ("This is the shared site" in page) == (whose == SHARED)


@pytest.mark.no_tenant
def test_the_settings_may_give_the_base_domain_to_a_tenant(settings: LazySettings, acme: CurrentTenant) -> None:
    settings.DYNAMIC_DB_ROUTES = {settings.TENANT_BASE_DOMAIN: acme.alias}
    assert "Made for acme" in visit(settings.TENANT_BASE_DOMAIN, "/").content.decode()


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    ("host", "queries"),
    [
        *(("stranger.localhost", 1), ("closed.localhost", 1), ("made.localhost", 1), ("www.acme.localhost", 1)),
        *(("localhost", 0), ("legacy.test", 0), ("two hosts", 0)),
    ],
)
def test_finding_the_site_takes_at_most_one_query_and_the_next_time_none(host: str, queries: int) -> None:
    with databases_asked() as asked:
        first = visit(host)
        assert asked == ["default"] * queries
        second = visit(host.upper())

    assert asked == ["default"] * queries
    assert first.status_code == second.status_code


@pytest.mark.no_tenant
def test_one_spelling_of_a_host_is_remembered_for_all() -> None:
    visit("acme.localhost")

    with databases_asked() as asked:
        for host in ("ACME.localhost", "acme.localhost:8000", "acme.localhost."):
            visit(host)

    assert asked == []


# A proxy


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    ("is_believed", "forwarded", "whose"),
    [
        (False, "globex.localhost", "acme"),
        (False, "nonsense, more", "acme"),
        (True, "globex.localhost", "globex"),
        (True, "stranger.localhost", NOBODY),
        (True, "localhost", SHARED),
        (True, "globex.localhost, acme.localhost", MALFORMED),  # through two proxies, or by somebody's own hand
    ],
)
def test_what_a_proxy_says_of_the_host_counts_only_if_the_settings_say_so(
    settings: LazySettings, is_believed: bool, forwarded: str, whose: str
) -> None:
    settings.USE_X_FORWARDED_HOST = is_believed

    response = visit("acme.localhost", "/", **{"x-forwarded-host": forwarded})

    assert response.status_code == STATUS.get(whose, HTTPStatus.OK)
    page = response.content.decode()
    assert {name for name in ("acme", "globex") if f"Made for {name}" in page} == {whose} & {"acme", "globex"}


# Probes


@pytest.mark.no_tenant
@pytest.mark.parametrize("host", ["acme.localhost", "closed.localhost", "10.0.0.7:8000", "stranger.test", "", "a,b"])
def test_a_probe_is_answered_at_every_host_and_asks_no_database(settings: LazySettings, host: str) -> None:
    settings.TENANT_PROBE_PATHS = ["/healthz", "/ready/"]
    settings.ALLOWED_HOSTS = [".localhost"]

    with databases_asked() as asked:
        responses = [visit(host, path) for path in settings.TENANT_PROBE_PATHS]

    assert [response.status_code for response in responses] == [HTTPStatus.OK] * 2
    assert asked == []


@pytest.mark.no_tenant
@pytest.mark.parametrize("path", ["/healthz/", "/healthz/x", "/x/healthz", "/"])
def test_only_the_paths_that_the_settings_name_are_probes(path: str) -> None:
    assert visit("stranger.localhost", path).status_code == HTTPStatus.NOT_FOUND


# What is remembered


def rename(tenant: Tenant) -> None:
    tenant.name = "umbrella"
    tenant.save()


def suspend(tenant: Tenant) -> None:
    tenant.state = Tenant.State.SUSPENDED
    tenant.save()


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    ("change", "host", "before", "after"),
    [
        (suspend, "acme.localhost", HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE),
        (Tenant.delete, "acme.localhost", HTTPStatus.OK, HTTPStatus.NOT_FOUND),
        (lambda acme: acme.domains.get(host="acme.localhost").delete(), "acme.localhost", 200, 404),
        (lambda acme: acme.domains.create(host="new.test"), "new.test", HTTPStatus.NOT_FOUND, HTTPStatus.OK),
        (lambda acme: acme.domains.create(host="a.globex.localhost"), "www.a.globex.localhost", 404, 200),
    ],
    ids=["suspended", "deleted", "domain removed", "domain added", "domain added, with www."],
)
def test_a_change_is_known_to_this_process_at_once(
    change: Callable[[Tenant], object], host: str, before: int, after: int
) -> None:
    assert visit(host).status_code == before

    change(Tenant.objects.get(name="acme"))

    assert visit(host).status_code == after


@pytest.mark.no_tenant
def test_the_name_of_a_tenant_that_was_renamed_is_known_at_once() -> None:
    names = [visit("acme.localhost").wsgi_request.tenant.name]
    rename(Tenant.objects.get(name="acme"))
    names.append(visit("acme.localhost").wsgi_request.tenant.name)

    assert names == ["acme", "umbrella"]


@pytest.mark.no_tenant
def test_what_others_read_before_a_change_was_committed_is_forgotten_then(
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[object]],
) -> None:
    before = find_tenant(["acme.localhost"])
    with django_capture_on_commit_callbacks(using=DEFAULT_DB_ALIAS, execute=True):
        suspend(Tenant.objects.get(name="acme"))
        site_cache.sites.put("acme.localhost", before, site_cache.sites.times_cleared)

    assert visit("acme.localhost").status_code == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that goes on when it is told to."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(site_cache, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.mark.no_tenant
@pytest.mark.parametrize(("seconds", "is_asked"), [(4.9, False), (5.0, True), (60.0, True)])
@pytest.mark.parametrize("host", ["acme.localhost", "stranger.localhost", "closed.localhost"])
def test_what_another_process_has_changed_is_known_after_some_seconds(
    settings: LazySettings, clock: SimpleNamespace, host: str, seconds: float, is_asked: bool
) -> None:
    settings.TENANT_LOOKUP_SECONDS = 5.0
    visit(host)
    clock.now += seconds

    with databases_asked() as asked:
        visit(host)

    assert asked == ["default"] * is_asked


@pytest.mark.no_tenant
def test_without_seconds_every_request_asks(settings: LazySettings) -> None:
    settings.TENANT_LOOKUP_SECONDS = 0.0

    with databases_asked() as asked:
        for _ in range(3):
            visit("acme.localhost")

    assert asked == ["default"] * 3


@pytest.mark.no_tenant
def test_a_flood_of_unknown_hosts_forgets_no_site_and_grows_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_cache, "SIZE", 3)
    visit("acme.localhost")
    for number in range(10):
        visit(f"unknown{number}.localhost")

    with databases_asked() as asked:
        visit("acme.localhost")
        visit("unknown9.localhost")
    assert asked == []

    with databases_asked() as asked:
        visit("unknown0.localhost")
    assert asked == ["default"]


@pytest.mark.no_tenant
def test_of_more_sites_than_there_is_room_for_the_oldest_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_cache, "SIZE", 2)
    for host in ("acme.localhost", "globex.localhost", "closed.localhost"):
        visit(host)

    with databases_asked() as asked:
        visit("closed.localhost")
        visit("globex.localhost")
        assert asked == []
        visit("acme.localhost")
    assert asked == ["default"]


# While the shared database can't be asked


class SharedDatabase:
    """Whom the lookup asks: how often, and the error it gets if it is down."""

    error: Exception | None = None
    asked = 0

    def find_tenant(self, hosts: list[str]) -> FoundTenant | None:
        self.asked += 1
        if self.error:
            raise self.error
        return find_tenant(hosts)


@pytest.fixture
def shared_database(monkeypatch: pytest.MonkeyPatch, settings: LazySettings, clock: SimpleNamespace) -> SharedDatabase:
    settings.TENANT_LOOKUP_SECONDS, settings.TENANT_STALE_SECONDS = 5.0, 60.0
    database = SharedDatabase()
    monkeypatch.setattr(lookup, "find_tenant", database.find_tenant)
    return database


@pytest.mark.no_tenant
@pytest.mark.parametrize("error", [OperationalError("could not connect"), InterfaceError("connection already closed")])
@pytest.mark.parametrize(
    ("host", "status"), [("acme.localhost", 200), ("closed.localhost", 503), ("stranger.localhost", 404)]
)
def test_in_an_outage_a_host_is_answered_as_before_and_not_for_long(
    shared_database: SharedDatabase, clock: SimpleNamespace, error: Exception, host: str, status: int
) -> None:
    visit(host)
    clock.now += 5
    shared_database.error = error

    answers = [visit(host)]
    clock.now += 59.9
    answers.append(visit(host))
    clock.now += 0.1
    refused = visit(host)

    assert [(answer.status_code, answer.has_header("Retry-After")) for answer in answers] == [(status, False)] * 2
    assert (refused.status_code, refused["Retry-After"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")


@pytest.mark.no_tenant
def test_in_an_outage_a_host_that_is_not_remembered_is_to_be_asked_for_again(shared_database: SharedDatabase) -> None:
    shared_database.error = OperationalError("could not connect")

    for refused in (visit("acme.localhost"), async_to_sync(AsyncClientOf("acme.localhost").get)("/")):
        assert (refused.status_code, refused["Retry-After"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")


@pytest.mark.no_tenant
@pytest.mark.parametrize(("seconds", "promise"), [(0.0, "1"), (0.2, "1"), (7.5, "8")])
def test_nobody_is_told_to_come_back_before_more_can_be_known(
    shared_database: SharedDatabase, settings: LazySettings, seconds: float, promise: str
) -> None:
    settings.TENANT_LOOKUP_SECONDS = seconds
    shared_database.error = OperationalError("could not connect")

    assert visit("acme.localhost")["Retry-After"] == promise


@pytest.mark.no_tenant
def test_in_an_outage_no_site_comes_back_that_was_known_to_be_gone(
    shared_database: SharedDatabase, clock: SimpleNamespace
) -> None:
    visit("acme.localhost")
    Domain.objects.filter(host="acme.localhost").delete()
    site_cache.sites.put("acme.localhost", find_tenant(["www.shop.test"]), site_cache.sites.times_cleared)
    clock.now += 5
    assert visit("acme.localhost").status_code == HTTPStatus.NOT_FOUND

    clock.now += 5
    shared_database.error = OperationalError("could not connect")

    assert visit("acme.localhost").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.no_tenant
@pytest.mark.parametrize("change", [suspend, Tenant.delete])
def test_in_an_outage_no_site_is_served_that_this_process_has_closed(
    shared_database: SharedDatabase, change: Callable[[Tenant], object]
) -> None:
    visit("acme.localhost")
    change(Tenant.objects.get(name="acme"))
    shared_database.error = OperationalError("could not connect")

    assert visit("acme.localhost").status_code == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.no_tenant
def test_an_outage_costs_one_request_a_second_and_ends_by_itself(
    shared_database: SharedDatabase, clock: SimpleNamespace
) -> None:
    shared_database.error = OperationalError("could not connect")
    for _ in range(3):
        visit("acme.localhost")
    assert shared_database.asked == 1

    clock.now += 1
    for _ in range(3):
        visit("acme.localhost")
    assert shared_database.asked == 2

    clock.now += 1
    shared_database.error = None
    assert visit("acme.localhost").status_code == HTTPStatus.OK
    assert visit("globex.localhost").status_code == HTTPStatus.OK
    assert shared_database.asked == 4


@pytest.mark.no_tenant
def test_while_one_request_asks_again_the_others_do_not_wait(
    shared_database: SharedDatabase, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []

    def visit_meanwhile(hosts: list[str]) -> None:
        monkeypatch.setattr(lookup, "find_tenant", shared_database.find_tenant)
        statuses.append(visit("globex.localhost").status_code)

    shared_database.error = OperationalError("could not connect")
    visit("acme.localhost")
    clock.now += 1
    monkeypatch.setattr(lookup, "find_tenant", visit_meanwhile)
    visit("acme.localhost")

    assert (statuses, shared_database.asked) == ([HTTPStatus.SERVICE_UNAVAILABLE], 1)


@pytest.mark.no_tenant
def test_an_outage_is_told_when_it_begins_and_when_it_ends(
    shared_database: SharedDatabase, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    shared_database.error = OperationalError("could not connect")
    for _ in range(3):
        visit("acme.localhost")
        clock.now += 1
    shared_database.error = None
    for _ in range(3):
        visit("acme.localhost")
        clock.now += 5

    told = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len(told) == 2
    assert "could not connect" in told[0]
    assert "can be asked again" in told[1]


@pytest.mark.no_tenant
def test_a_visit_to_a_closed_site_is_no_error_to_be_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "django.request")
    visit("closed.localhost", "/orders/")

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Service Unavailable: /orders/")
    ]


@pytest.mark.no_tenant
def test_what_is_no_outage_is_an_error_as_ever(shared_database: SharedDatabase) -> None:
    visit("acme.localhost")
    shared_database.error = ProgrammingError("no such column")

    with pytest.raises(ProgrammingError):
        visit("globex.localhost")


@pytest.mark.no_tenant
def test_in_development_an_unknown_host_is_told_which_ones_there_are(settings: LazySettings) -> None:
    client = Client(headers={"host": "127.0.0.1"})
    assert "TENANT_BASE_DOMAIN" not in client.get("/").content.decode()

    settings.DEBUG = True

    page = client.get("/").content.decode()
    assert "TENANT_BASE_DOMAIN" in page
    assert "acme.localhost" in page


def test_a_forbidden_host_is_refused_before_any_lookup(settings: LazySettings) -> None:
    settings.ALLOWED_HOSTS = [".localhost"]

    assert Client(headers={"host": "acme.example.com"}).get("/").status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("straße.example", ""),  # two standards disagree on whose this is
        ("acme.example:443", "acme.example"),
        (" acme.example. ", "acme.example"),
        ("[::1]:8000", "[::1]"),
        ("http://acme.example", ""),
        ("acme.example/shop", ""),
        ("two words", ""),
        ("", ""),
    ],
)
def test_a_host_has_one_spelling(written: str, normal: str) -> None:
    assert normalise_host(written) == normal


def test_the_exact_host_is_looked_for_before_the_one_without_www() -> None:
    assert spellings("WWW.acme.example:80") == ["www.acme.example", "acme.example"]
    assert spellings("acme.example") == ["acme.example"]


@pytest.mark.parametrize("host", ["localhost", "www.localhost", "LOCALHOST:80", "http://x", "straße.example"])
def test_a_tenant_cannot_have_the_base_domain_or_what_is_no_host(host: str) -> None:
    with pytest.raises(ValidationError):
        Domain(host=host, tenant=Tenant.objects.get(name="acme")).full_clean()


def test_what_is_wrong_with_a_host_is_said_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Domain(host="http://x", tenant=Tenant.objects.get(name="acme")).full_clean()

    assert len(caught.value.messages) == 1


def test_a_domain_is_stored_as_browsers_send_it() -> None:
    domain = Domain(host="Müller.example:8000", tenant=Tenant.objects.get(name="acme"))
    domain.full_clean()

    assert domain.host == "xn--mller-kva.example"


def test_what_was_looked_up_before_a_change_is_not_remembered_after_it() -> None:
    def look_up(hosts: list[str]) -> None:
        site_cache.sites.clear()  # as whoever changes a site meanwhile does

    middleware = SubdomainTenantMiddleware(lambda request: None)
    middleware.look_up = look_up
    middleware.find_site(["new.test"])

    assert site_cache.sites.get("new.test") is None
