"""What error trackers and log records are told: which database, and whose."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from dbrouting.aliases import usable_aliases
from dbrouting.contexts import carry_context
from dbrouting.overrides import in_database
from dbrouting.tags import TagsFilter, alias_of, current_tags
from orders.models import Order

LAST = usable_aliases()[-1]


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(connections.settings, "archive", connections.settings[LAST])
    return "archive"


def alias_here() -> str | None:
    return current_tags().get("database.alias")


def test_an_override_is_named_while_it_lasts(archive: str) -> None:
    before = current_tags()

    with in_database(archive):
        assert current_tags() == {**before, "database.alias": "archive"}
    with in_database(archive, read=False, write=True):
        assert current_tags() == before
    assert current_tags() == before


def test_the_tags_are_those_of_the_task_or_thread(archive: str) -> None:
    with ThreadPoolExecutor() as pool, in_database(archive):
        carried = pool.submit(carry_context(alias_here)).result()

        async def main() -> set[str | None]:
            return {alias_here(), await sync_to_async(alias_here, thread_sensitive=False)()}

        assert {carried, *asyncio.run(main())} == {"archive"}


@pytest.mark.django_db
@pytest.mark.parametrize("alias", usable_aliases())
@pytest.mark.usefixtures("every_database")
def test_an_error_knows_its_database_when_all_blocks_have_ended(alias: str) -> None:
    with pytest.raises(DatabaseError) as caught, in_database(alias), connections[alias].cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")

    assert current_tags(caught.value)["database.alias"] == alias


@pytest.mark.parametrize("error", [None, ZeroDivisionError(), DatabaseError("nobody raised it"), Order.DoesNotExist()])
def test_an_error_from_elsewhere_names_no_database(error: BaseException | None) -> None:
    assert alias_of(error) is None


def test_a_log_record_has_the_tags_as_a_text(archive: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(TagsFilter())

    with in_database(archive):
        logging.getLogger("shop").warning("no tea left")

    assert "database.alias=archive" in vars(caplog.records[0])["tags"].split()
