"""``in_database``: the manual override holds in threads, tasks and after errors, and leaves nothing behind."""

import asyncio
import importlib.util
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import dynamic_db_router
import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.signals import request_finished
from django.db import close_old_connections, connections, router
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory
from django.utils.connection import ConnectionDoesNotExist
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views import View

from catalogue.models import Product
from dbrouting import mapping
from dbrouting.aliases import usable_aliases
from dbrouting.contexts import ContextThreadPoolExecutor, carry_context
from dbrouting.mapping import DatabaseMapping
from dbrouting.overrides import (
    OverrideRouter,
    ReadOnlyOverrideError,
    StrictOverrideRouter,
    current_override,
    in_database,
)
from dbrouting.streaming import streamed_in

FIRST, *_, LAST = usable_aliases()


def read_alias() -> str | None:
    return OverrideRouter().db_for_read(Product)


def write_alias() -> str | None:
    return OverrideRouter().db_for_write(Product)


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    yield
    assert current_override() is None


# What is overridden


def test_without_a_block_it_has_no_opinion() -> None:
    assert (read_alias(), write_alias()) == (None, None)


def test_a_block_redirects_reads_only_unless_told() -> None:
    with in_database(LAST):
        assert (read_alias(), write_alias()) == (LAST, None)
    with in_database(LAST, write=True):
        assert (read_alias(), write_alias()) == (LAST, LAST)
    with in_database(LAST, read=False, write=True):
        assert (read_alias(), write_alias()) == (None, LAST)


def test_the_strict_router_refuses_to_write_beside_a_read_only_block() -> None:
    with in_database(LAST), pytest.raises(ReadOnlyOverrideError, match=f"write=True.*{LAST}|{LAST}.*write=True"):
        StrictOverrideRouter().db_for_write(Product)
    with in_database(LAST, write=True):
        assert StrictOverrideRouter().db_for_write(Product) == LAST
    assert StrictOverrideRouter().db_for_write(Product) is None


def test_nested_blocks_are_undone_one_by_one() -> None:
    with in_database(FIRST, write=True):
        with in_database(LAST):
            assert (read_alias(), write_alias()) == (LAST, FIRST)
        assert (read_alias(), write_alias()) == (FIRST, FIRST)


def test_an_exception_undoes_the_block() -> None:
    with pytest.raises(ZeroDivisionError), in_database(LAST):
        raise ZeroDivisionError
    assert read_alias() is None


def test_an_unknown_alias_is_refused_by_name() -> None:
    with pytest.raises(ConnectionDoesNotExist, match=f"'nowhere'.*{FIRST}"), in_database("nowhere"):
        pass


def test_anything_but_an_alias_or_a_dict_is_refused() -> None:
    with pytest.raises(ValueError, match="None"):
        in_database(None)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("import_path", ["dynamic_db_router", "dynamic_db_router.router", "dbrouting.overrides"])
def test_every_import_of_it_is_the_safe_one(import_path: str) -> None:
    module = importlib.import_module(import_path)
    with module.in_database(LAST):
        assert read_alias() == LAST
    assert dynamic_db_router.DynamicDbRouter().db_for_read(Product) is None


def test_an_import_that_came_before_ours_is_served_too() -> None:
    script = (
        "from dynamic_db_router import DynamicDbRouter, in_database\n"
        "import dbrouting.overrides\n"
        "with in_database('anywhere', write=True) as block:\n"
        "    assert isinstance(block, dbrouting.overrides.in_database)\n"
        "    assert DynamicDbRouter().db_for_write(None) == 'anywhere'\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run(
        [sys.executable, "-c", script.replace("anywhere", LAST)], cwd=settings.BASE_DIR, env=environment, check=True
    )


# Threads and tasks


async def _sees_its_own(alias: str, block: Any = None) -> bool:
    with block or in_database(alias):
        await asyncio.sleep(0.001)
        in_thread = await asyncio.to_thread(read_alias)
        in_sync_code = await sync_to_async(read_alias)()
        await asyncio.sleep(0.001)
        return (read_alias(), in_thread, in_sync_code) == (alias, alias, alias)


def test_concurrent_tasks_see_their_own_block() -> None:
    async def main() -> list[bool]:
        with in_database(FIRST):  # entered in the parent first: its children share nothing they could change
            found = await asyncio.gather(*(_sees_its_own(alias) for alias in [FIRST, LAST] * 20))
            assert read_alias() == FIRST
            return found

    assert all(asyncio.run(main()))


def test_concurrent_tasks_see_their_own_block_after_one_was_used_at_import() -> None:
    with in_database(LAST):
        pass

    async def main() -> list[bool]:
        return await asyncio.gather(*(_sees_its_own(alias) for alias in [FIRST, LAST] * 20))

    assert all(asyncio.run(main()))


def test_one_instance_serves_many_tasks_and_threads() -> None:
    shared = in_database(LAST)

    async def main() -> list[bool]:
        return await asyncio.gather(*(_sees_its_own(LAST, shared) for _ in range(20)))

    assert all(asyncio.run(main()))
    barrier = threading.Barrier(4)

    def work() -> str | None:
        with shared:
            barrier.wait()
            return read_alias()

    with ThreadPoolExecutor(4) as pool:
        assert [future.result() for future in [pool.submit(work) for _ in range(4)]] == [LAST] * 4


def test_the_library_as_published_does_leak_between_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the tests above can see the fault they are about."""
    path = Path(dynamic_db_router.__file__).parent / "router.py"
    spec = importlib.util.spec_from_file_location("published_router", path)
    assert spec
    assert spec.loader
    published = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(published)
    router = published.DynamicDbRouter()

    async def sees_its_own(alias: str) -> bool:
        with published.in_database(alias):
            await asyncio.sleep(0.001)
            return bool(router.db_for_read(Product) == alias)

    async def main() -> list[bool]:
        return await asyncio.gather(*(sees_its_own(alias) for alias in ["one", "two"] * 20))

    assert not all(asyncio.run(main()))


def test_a_new_thread_starts_without_the_block_unless_it_is_carried() -> None:
    with ThreadPoolExecutor(2) as pool, in_database(LAST):
        assert pool.submit(read_alias).result() is None
        carried = carry_context(read_alias)
        assert [future.result() for future in [pool.submit(carried) for _ in range(8)]] == [LAST] * 8


def test_a_context_executor_takes_the_block_along_by_each_of_its_ways() -> None:
    async def in_executor(pool: ContextThreadPoolExecutor) -> list[str | None]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ContextThreadPoolExecutor(1))
        return [await loop.run_in_executor(one, read_alias) for one in (pool, None)]

    def read(number: int) -> tuple[int, str | None]:
        return number, read_alias()

    with ContextThreadPoolExecutor(2) as pool:
        with in_database(LAST):
            submitted = pool.submit(read, number=1)
            mapped = pool.map(read, [2, 3])
            assert asyncio.run(in_executor(pool)) == [LAST, LAST]
        assert [submitted.result(), *mapped] == [(1, LAST), (2, LAST), (3, LAST)]
        assert pool.submit(read_alias).result() is None


def test_an_executors_block_ends_with_its_piece_of_work() -> None:
    with ContextThreadPoolExecutor(1) as pool:
        pool.submit(in_database(LAST).__enter__).result()

        assert pool.submit(read_alias).result() is None


def test_a_piece_of_work_ends_as_a_request_does() -> None:
    """There Django closes what may not stay open."""
    ended: list[threading.Thread] = []

    def note(**kwargs: object) -> None:
        ended.append(threading.current_thread())

    def fail() -> None:
        raise ZeroDivisionError

    request_finished.connect(note)
    with ContextThreadPoolExecutor(1) as pool:
        thread = pool.submit(threading.current_thread).result()
        assert isinstance(pool.submit(fail).exception(), ZeroDivisionError)

    assert ended == [thread, thread]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork() on this system")
def test_a_forked_process_starts_without_the_block() -> None:
    """A process pool forks its workers inside the block that first asks for one, and gives them others' work later."""
    with in_database(LAST), warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        if (child := os.fork()) == 0:
            os._exit(0 if read_alias() is None else 1)
        assert read_alias() == LAST

    assert os.waitpid(child, 0)[1] == 0


# Decorators


def test_it_decorates_functions() -> None:
    @in_database(LAST)
    def function(argument: int) -> tuple[int, str | None]:
        return argument, read_alias()

    assert function(1) == function(1) == (1, LAST)
    assert read_alias() is None


def test_it_decorates_coroutine_functions() -> None:
    @in_database(LAST)
    async def function() -> str | None:
        await asyncio.sleep(0)
        return read_alias()

    assert asyncio.run(function()) == LAST


def test_it_refuses_to_decorate_generators() -> None:
    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        in_database(LAST)(generator)


def test_a_lazy_query_set_returned_by_a_decorated_function_keeps_its_database() -> None:
    home = router.db_for_read(Product)
    query_set = in_database(home)(lambda: Product.objects.filter(is_available=True))()
    explicit = in_database(home)(lambda: Product.objects.using(FIRST))()

    assert query_set._db == home  # type: ignore[attr-defined]  # told, not asked again
    assert explicit.db == FIRST


def test_a_template_response_of_a_decorated_view_is_rendered_in_the_block() -> None:
    class Response(SimpleTemplateResponse):
        @property
        def rendered_content(self) -> SafeString:
            return SafeString(read_alias())

    response = in_database(LAST)(lambda: Response("unused.html"))()

    assert response.render().content == LAST.encode()
    assert "render" not in vars(response)
    assert read_alias() is None


def test_an_asynchronous_class_based_view_runs_in_the_block() -> None:
    @method_decorator(in_database(LAST), name="dispatch")
    class Page(View):
        async def get(self, request: HttpRequest) -> HttpResponse:
            await asyncio.sleep(0)
            return HttpResponse(read_alias())

    view = in_database(LAST)(Page.as_view())

    assert iscoroutinefunction(view)
    for page in (Page.as_view(), view):
        response = async_to_sync(cast(Any, page))(RequestFactory().get("/"))
        assert response.content == LAST.encode()


def test_a_block_left_by_a_generator_that_yields_inside_is_an_error_not_a_leak() -> None:
    def generator() -> Iterator[None]:
        with in_database(LAST):
            yield

    running = generator()
    next(running)
    with in_database(FIRST), pytest.raises(RuntimeError, match="yield"):
        next(running)
    in_database.frames._innermost.set(None)


def test_a_function_decorated_while_the_models_are_imported_is_routed() -> None:
    """`models.py` may use the library's own name, long before any app is ready."""
    script = (
        "import django\n"
        "from django.apps import AppConfig\n"
        "original = AppConfig.import_models\n"
        "def import_models(self):\n"
        "    if self.label == 'catalogue':\n"
        "        from dynamic_db_router import in_database\n"
        "        global where\n"
        "        @in_database('ALIAS')\n"
        "        def where():\n"
        "            from dbrouting.overrides import current_override\n"
        "            return current_override().read\n"
        "    original(self)\n"
        "AppConfig.import_models = import_models\n"
        "django.setup()\n"
        "print(where())\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", script.replace("ALIAS", FIRST)]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == FIRST


@pytest.mark.parametrize(
    "function",
    [
        lambda: sync_to_async(read_alias)(),
        sync_to_async(read_alias),
        lambda: asyncio.to_thread(read_alias),
    ],
)
def test_what_a_decorated_function_gives_to_await_runs_in_the_block(function: Any) -> None:
    async def main() -> Any:
        return await in_database(LAST)(function)()

    assert asyncio.run(main()) == LAST


@pytest.mark.parametrize("returned", [lambda: (n for n in [1]), lambda: Product.objects.iterator()])
def test_a_generator_that_a_decorated_function_returns_is_refused(returned: Any) -> None:
    with pytest.raises(TypeError, match="generator"):
        in_database(router.db_for_read(Product))(returned)()


# Configuration dictionaries


@pytest.fixture
def archive(tmp_path: Path) -> dict[str, Any]:
    """The least that a user writes: Django adds the rest for listed databases only."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "archive.sqlite3")}


def count_tables(alias: str | None) -> int:
    assert alias
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sqlite_master")
        return int(cursor.fetchone()[0])


def write_table(alias: str | None, name: str = "note") -> None:
    assert alias
    with connections[alias].cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (id integer)")


@pytest.fixture
def unblocked_databases(django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@pytest.mark.usefixtures("unblocked_databases")
def test_a_dict_is_a_database_while_the_block_runs_and_again_the_next_time(archive: dict[str, Any]) -> None:
    before = dict(archive)
    listed = list(connections)
    for expected in (0, 1):
        with in_database(archive, write=True):
            alias = read_alias()
            assert alias == write_alias()
            assert count_tables(alias) == expected
            write_table(alias, f"note_{expected}")
            assert list(connections) == listed
    assert archive == before
    assert alias not in connections.settings
    with pytest.raises(ConnectionDoesNotExist):
        connections[str(alias)]


def test_a_dict_that_is_never_entered_leaves_nothing(archive: dict[str, Any]) -> None:
    unused = in_database(archive)

    assert unused.database not in connections.settings


@pytest.mark.usefixtures("unblocked_databases")
def test_a_decorator_with_a_dict_works_more_than_once(archive: dict[str, Any]) -> None:
    function = in_database(archive)(lambda: count_tables(read_alias()))

    assert (function(), function()) == (0, 0)


@pytest.mark.usefixtures("unblocked_databases")
def test_an_in_memory_dict_starts_empty_each_time() -> None:
    for _ in range(2):
        with in_database({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}):
            assert count_tables(read_alias()) == 0
            write_table(read_alias())


@pytest.mark.usefixtures("unblocked_databases")
def test_dicts_come_and_go_in_threads_while_others_walk_over_all_connections(tmp_path: Path) -> None:
    def lend(number: int) -> int:
        for turn in range(30):
            config = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / f"{number}-{turn % 3}.sqlite3")}
            with in_database(config):
                count_tables(read_alias())
        return number

    def walk(number: int) -> int:
        for _ in range(300):
            close_old_connections()
        return number

    def both(number: int) -> int:
        return (lend if number % 2 else walk)(number)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(both, range(8))) == list(range(8))
    assert isinstance(connections.settings, DatabaseMapping)
    assert not connections.settings._borrowed


@pytest.mark.usefixtures("unblocked_databases")
def test_threads_that_share_one_dict_never_close_it_under_each_other(archive: dict[str, Any]) -> None:
    shared = in_database(archive)

    def work(number: int) -> int:
        for _ in range(100):
            with shared:
                assert count_tables(read_alias()) == 0
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == list(range(4))


@pytest.mark.usefixtures("unblocked_databases")
def test_nobody_can_borrow_while_the_connections_of_the_last_loan_are_closed(
    archive: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    borrowers: list[threading.Thread] = []
    borrowed_early: list[bool] = []
    close = mapping._Loan.close

    def close_and_look(loan: Any) -> None:
        borrower = threading.Thread(target=lambda: in_database(archive).__enter__())
        borrowers.append(borrower)
        borrower.start()
        borrower.join(0.1)
        borrowed_early.append(not borrower.is_alive())
        close(loan)

    monkeypatch.setattr(mapping._Loan, "close", close_and_look)
    with in_database(archive):
        count_tables(read_alias())
    monkeypatch.undo()
    borrowers[0].join()

    assert borrowed_early == [False]
    assert isinstance(connections.settings, DatabaseMapping)
    connections.settings.give_back(in_database(archive).database)  # what the borrower got in the end


def test_a_dict_may_be_changed_after_it_was_given(archive: dict[str, Any]) -> None:
    block = in_database(archive)
    archive["NAME"] = "other"

    with block:
        assert read_alias() == block.database


@pytest.mark.usefixtures("unblocked_databases")
def test_a_streamed_body_keeps_the_database_of_a_dict(archive: dict[str, Any]) -> None:
    def body() -> Iterator[str]:
        with connections[str(read_alias())].cursor() as cursor:
            cursor.execute("SELECT 1 UNION SELECT 2")
            yield from (str(number) for (number,) in cursor.cursor)

    response = streamed_in(in_database(archive), StreamingHttpResponse(body()))
    assert b"".join(response) == b"12"
    response._resource_closers.pop()()  # type: ignore[attr-defined]  # what closing does, without its signal

    assert in_database(archive).database not in connections.settings


@pytest.mark.usefixtures("unblocked_databases")
def test_blocks_with_equal_dicts_share_the_alias_until_the_last_one_ends(archive: dict[str, Any]) -> None:
    with in_database(archive):
        with in_database(dict(archive)):
            inner = read_alias()
        assert read_alias() == inner
        assert count_tables(inner) == 0


@pytest.mark.usefixtures("unblocked_databases")
def test_connections_opened_by_a_worker_thread_are_closed_with_the_block(archive: dict[str, Any]) -> None:
    opened: list[Any] = []

    def query() -> None:
        opened.append(connections[str(read_alias())])
        count_tables(read_alias())

    async def main() -> None:
        with in_database(archive):
            await sync_to_async(query)()
            assert opened[0].connection is not None

    asyncio.run(main())
    assert opened[0].connection is None


def test_the_alias_of_a_dict_tells_no_secret() -> None:
    block = in_database({"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "PASSWORD": "secret"})

    assert "secret" not in block.database


def test_a_plain_dict_of_databases_is_named_as_the_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "settings", dict(connections.settings))

    with pytest.raises(TypeError, match="DatabaseMapping"), in_database({"ENGINE": "x"}):
        pass
