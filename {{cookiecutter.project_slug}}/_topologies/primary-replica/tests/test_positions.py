"""Who wrote reads a replica again as soon as that has replayed the write, and not before, however long it takes."""

import itertools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from typing import Any, NoReturn, cast

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, OperationalError, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from catalogue.models import Product
from dbrouting import consistency, replication
from dbrouting.consistency import Position, read_token, signer, token_of
from dbrouting.contexts import carry_context
from dbrouting.fallback import ReplicaConnection
from dbrouting.pinning import current_unit, unit_of_work

COOKIE, HEADER = "primary_pin", "X-Primary-Pin"
OLD, NEW = 10, 3
ASK = ReplicaConnection.ask_what_is_replayed


def stock(request: HttpRequest) -> HttpResponse:
    """What the product's stock is, and the database that said so."""
    product = Product.objects.get()
    return HttpResponse(f"{product.stock} {product._state.db}")


def stock_in_a_thread(request: HttpRequest) -> HttpResponse:
    """As another connection sees it than the one that the request began with."""
    with ThreadPoolExecutor(1) as pool:
        found: int = pool.submit(carry_context(look_and_leave)).result()
    return HttpResponse(str(found))


def look_and_leave() -> int:
    try:
        return Product.objects.get().stock
    finally:
        connections.close_all()


def sell(request: HttpRequest) -> HttpResponse:
    Product.objects.update(stock=NEW)
    return HttpResponse("sold")


def no_rows(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no rows")


async def sell_async(request: HttpRequest) -> HttpResponse:
    await Product.objects.aupdate(stock=NEW)
    return HttpResponse("sold")


async def stock_async(request: HttpRequest) -> HttpResponse:
    product = await Product.objects.aget()
    return HttpResponse(f"{product.stock} {product._state.db}")


urlpatterns = [
    path("stock/", stock),
    path("stock-in-a-thread/", stock_in_a_thread),
    path("stock-async/", stock_async),
    path("no-rows/", no_rows),
    path("sell/", sell),
    path("sell-async/", sell_async),
]


@pytest.fixture(autouse=True)
def _views_of_this_module(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.PRIMARY_PIN_SECONDS = 0  # time alone keeps nobody on the primary here


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Position]:
    """The positions that were asked of the primary; where there are none, numbers stand in for them."""
    made: list[Position] = []
    numbers = itertools.count(1)
    ask = replication.written

    def written(cursor: Any) -> Position:
        made.append(ask(cursor) or Position("simulated", (("", next(numbers)),)))
        return made[-1]

    monkeypatch.setattr(replication, "written", written)
    return made


@pytest.fixture
def stopped(captures: list[Position], stale_replica: str) -> str:
    """The only replica, which has all that was written before the test began."""
    captures.clear()
    return stale_replica


@pytest.fixture
def checks(stopped: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The aliases that were asked what they have replayed."""
    asked: list[str] = []
    ask = ReplicaConnection.ask_what_is_replayed

    def note(connection: ReplicaConnection) -> Position:
        asked.append(connection.alias)
        return ask(connection)

    monkeypatch.setattr(ReplicaConnection, "ask_what_is_replayed", note)
    return asked


def replay_everything(monkeypatch: pytest.MonkeyPatch, captures: list[Position]) -> None:
    """Let every replica say so; its rows remain what they were."""
    monkeypatch.setattr(ReplicaConnection, "ask_what_is_replayed", lambda connection: captures[-1])


def page(client: Client, url: str = "/stock/") -> str:
    with unit_of_work():
        return client.get(url).content.decode()


# Who reads what


def test_who_wrote_nothing_reads_the_replica(site_client: Client, stopped: str) -> None:
    page(Client(), "/sell/")

    assert page(site_client) == f"{OLD} {stopped}"


@pytest.mark.parametrize("url", ["/sell/", "/sell-async/"])
def test_who_wrote_reads_the_primary_until_the_replica_has_it(
    site_client: Client, stopped: str, captures: list[Position], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    page(site_client, url)

    assert [page(site_client), page(site_client)] == [f"{NEW} default"] * 2
    replay_everything(monkeypatch, captures)
    assert page(site_client) == f"{OLD} {stopped}"


def test_so_it_is_for_asynchronous_views(async_site_client: AsyncClient, stopped: str) -> None:
    get = async_to_sync(async_site_client.get)
    assert get("/stock-async/").content.decode() == f"{OLD} {stopped}"
    get("/sell-async/")

    assert get("/stock-async/").content.decode() == f"{NEW} default"


def test_every_connection_of_the_request_is_asked(site_client: Client, checks: list[str]) -> None:
    """The one of another thread may lead to another server, if several are behind one alias."""
    page(site_client, "/sell/")

    assert page(site_client, "/stock-in-a-thread/") == str(NEW)


def test_a_write_in_the_meantime_is_not_lost_on_a_second_one(site_client: Client, stopped: str) -> None:
    for _ in range(3):
        page(site_client, "/sell/")
        assert page(site_client) == f"{NEW} default"


def test_a_position_of_another_cluster_says_nothing(site_client: Client, stopped: str) -> None:
    site_client.cookies[COOKIE] = token_of(Position("another", (("", 0),)))

    assert page(site_client) == f"{OLD} default"


def test_without_positions_time_decides(
    site_client: Client, stopped: str, captures: list[Position], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PRIMARY_PIN_SECONDS, settings.REPLICA_POSITIONS = 10, False
    page(site_client, "/sell/")
    assert captures == []
    assert page(site_client) == f"{NEW} default"

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + settings.PRIMARY_PIN_SECONDS + 2)
    assert page(site_client) == f"{OLD} {stopped}"


def test_when_the_position_cannot_be_had_time_decides(
    site_client: Client, stopped: str, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PRIMARY_PIN_SECONDS = 10

    def written(cursor: Any) -> Position:
        raise DatabaseError("it has just gone")

    monkeypatch.setattr(replication, "written", written)
    page(site_client, "/sell/")

    assert "position is unknown" in caplog.text
    assert page(site_client) == f"{NEW} default"


# What it costs


def test_who_has_not_written_asks_for_no_position(
    site_client: Client, captures: list[Position], checks: list[str]
) -> None:
    page(site_client)

    assert (captures, checks) == ([], [])


def test_a_request_that_writes_asks_once(site_client: Client, captures: list[Position], checks: list[str]) -> None:
    page(site_client, "/sell/")

    assert (len(captures), checks) == (1, [])


def test_a_request_after_a_write_checks_once(site_client: Client, stopped: str, checks: list[str]) -> None:
    page(site_client, "/sell/")
    page(site_client)

    assert checks == [stopped]


def test_a_request_that_is_pinned_checks_nothing(site_client: Client, stopped: str, checks: list[str]) -> None:
    page(site_client, "/sell/")
    with unit_of_work():
        site_client.post("/stock/")

    assert checks == []


@pytest.mark.usefixtures("stopped")
def test_a_page_without_rows_needs_no_server(site_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: ReplicaConnection, name: str | None = None) -> NoReturn:
        raise OperationalError("neither the replica nor the primary answers")

    page(site_client, "/sell/")
    monkeypatch.setattr(ReplicaConnection, "_cursor", refuse)

    assert page(site_client, "/no-rows/") == "no rows"


def test_what_a_connection_has_replayed_is_remembered(
    site_client: Client, captures: list[Position], monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    connections[stopped].ensure_connection()
    answers = iter([captures] * (2 if connections[stopped].vendor == "sqlite" else 1))  # whose driver has no memory
    monkeypatch.setattr(replication, "replayed", lambda cursor: next(answers)[-1])
    monkeypatch.setattr(ReplicaConnection, "ask_what_is_replayed", ASK)
    page(site_client, "/sell/")

    assert [page(site_client), page(site_client)] == [f"{OLD} {stopped}"] * 2


# The token


@pytest.fixture
def token(site_client: Client, stopped: str, captures: list[Position]) -> str:
    page(site_client, "/sell/")
    return site_client.cookies[COOKIE].value


def test_it_carries_the_position(token: str, captures: list[Position]) -> None:
    assert read_token(token) == captures[-1]


def test_a_later_one_covers_what_the_primary_does_not_tell_any_more(
    site_client: Client, token: str, captures: list[Position]
) -> None:
    """Such as a domain of MariaDB's that a promoted server has never heard of."""
    earlier = captures[-1]._replace(streams=(*captures[-1].streams, ("another", 7)))
    site_client.cookies[COOKIE] = token_of(earlier)
    page(site_client, "/sell/")

    position = read_token(site_client.cookies[COOKIE].value)

    assert position is not None
    assert position.covers(earlier)


def test_the_further_of_two_positions_counts(
    site_client: Client, stopped: str, captures: list[Position], settings: Any
) -> None:
    """A tab that was slower may have set the cookie back."""
    settings.PRIMARY_PIN_HEADER = HEADER
    early = ReplicaConnection.ask_what_is_replayed(cast(ReplicaConnection, connections[stopped]))
    page(site_client, "/sell/")
    late = captures[-1]

    for cookie, header in ((early, late), (late, early)):
        site_client.cookies[COOKIE] = token_of(cookie)
        response = site_client.get("/stock/", headers={HEADER: token_of(header)})
        assert response.content.decode() == f"{NEW} default"


def test_a_client_without_cookies_sends_the_header_back(site_client: Client, stopped: str, settings: Any) -> None:
    settings.PRIMARY_PIN_HEADER = HEADER
    response = site_client.post("/sell/")
    site_client.cookies = SimpleCookie()

    assert page(site_client) == f"{OLD} {stopped}"
    answer = site_client.get("/stock/", headers={HEADER: response.headers[HEADER]})
    assert answer.content.decode() == f"{NEW} default"
    assert HEADER in response.headers["Vary"]


def test_there_is_no_header_unless_it_has_a_name(site_client: Client, stopped: str) -> None:
    response = site_client.post("/sell/")
    assert HEADER not in response.headers
    site_client.cookies = SimpleCookie()

    answer = site_client.get("/stock/", headers={HEADER: response.cookies[COOKIE].value})
    assert answer.content.decode() == f"{OLD} {stopped}"


def test_no_shared_cache_may_keep_the_answer(site_client: Client, stopped: str) -> None:
    response = site_client.post("/sell/")

    assert "private" in response.headers["Cache-Control"]
    assert "Cookie" in response.headers["Vary"]


FAULTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "forged": ("forged or truncated", lambda token: token.replace("+", "+1", 1)),
    "truncated": ("forged or truncated", lambda token: token[: len(token) // 2]),
    "no text": ("forged or truncated", lambda token: "\x00é"),
    "signed, but no position": ("malformed", lambda token: signer().sign("a|b|c")),
}


@pytest.mark.parametrize(("fault", "spoil"), FAULTS.values(), ids=FAULTS)
def test_a_token_that_is_not_ours_is_ignored_counted_and_logged(
    site_client: Client,
    stopped: str,
    token: str,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    spoil: Callable[[str], str],
) -> None:
    before = consistency.ignored[fault]
    site_client.cookies[COOKIE] = spoil(token)

    assert page(site_client) == f"{OLD} {stopped}"
    assert consistency.ignored[fault] == before + 1
    assert fault in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


def test_one_that_is_over_too(
    site_client: Client, stopped: str, token: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = consistency.ignored["expired"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + settings.PRIMARY_PIN_COOKIE_AGE + 2)

    assert page(site_client) == f"{OLD} {stopped}"
    assert consistency.ignored["expired"] == before + 1


# Positions


def at(cluster: str = "c", **streams: int) -> Position:
    return Position(cluster, tuple(streams.items()))


@pytest.mark.parametrize(
    ("here", "required", "is_covered"),
    [
        (at(a=2), at(a=2), True),
        (at(a=3), at(a=2), True),
        (at(a=1), at(a=2), False),
        (at(a=3, b=1), at(a=2), True),
        (at(a=3), at(a=2, b=1), False),
        (at(a=3, b=0), at(a=2, b=1), False),
        (at(b=9), at(a=0), False),
        (at("d", a=3), at(a=2), False),
        (at(), at(a=0), False),
    ],
)
def test_a_position_covers_what_is_no_further_in_any_stream(
    here: Position, required: Position, is_covered: bool
) -> None:
    assert here.covers(required) == is_covered


@pytest.mark.parametrize(
    ("newer", "older", "merged"),
    [
        (at(a=2), None, at(a=2)),
        (at(a=2), at(a=1), at(a=2)),
        (at(a=1), at(a=2), at(a=2)),
        (at(a=2), at(b=1), at(a=2, b=1)),
        (at(a=2, b=1), at(a=1, b=2), at(a=2, b=2)),
        (at("d", a=1), at(a=2), at("d", a=1)),
    ],
)
def test_merged_positions_cover_both_unless_the_cluster_is_new(
    newer: Position, older: Position | None, merged: Position
) -> None:
    assert newer.merged(older) == merged


@pytest.mark.parametrize(
    "position",
    [
        Position("7710614327725807363", (("", 67375208),)),
        Position("", (("0", 52), ("1", 8))),
        Position("", (("3e11fa47-71ca-11e1-9e33-c80aa9429562:tag", 7),)),
    ],
    ids=["PostgreSQL", "MariaDB", "MySQL"],
)
def test_a_position_is_read_as_it_was_written_and_needs_no_quotes_in_a_cookie(position: Position) -> None:
    cookie = SimpleCookie({COOKIE: token_of(position)})

    assert read_token(cookie[COOKIE].value) == position
    assert '"' not in cookie.output()


def test_a_unit_requires_nothing_of_its_own_accord() -> None:
    assert current_unit().required is None
