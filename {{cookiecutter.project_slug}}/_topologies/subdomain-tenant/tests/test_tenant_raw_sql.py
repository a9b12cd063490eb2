"""SQL that asks no router stays with the active tenant too, whatever it comes from."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from catalogue.factories import CategoryFactory
from catalogue.models import Category
from dbrouting.contexts import carry_context
from dbrouting.overrides import in_database
from dbrouting.per_tenant.raw_sql import sql_on_any_site
from dbrouting.tenant_context import (
    CurrentTenant,
    NoActiveTenantError,
    TenantSwitchError,
    shared_context,
    tenant_context,
)

pytestmark = pytest.mark.django_db

GLOBEX = "tenant_globex"


def names(alias: str) -> list[str]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT name FROM catalogue_category")
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture
def foreign(globex: CurrentTenant) -> Category:
    """A category of globex's, in the hands of code that works for acme."""
    with tenant_context(globex, switch=True):
        CategoryFactory.create(name="Secret tea")
        return Category.objects.defer("slug").get()


@pytest.mark.parametrize(
    "reach",
    [
        lambda foreign: names(GLOBEX),
        lambda foreign: connections[GLOBEX].cursor().executemany("DELETE FROM catalogue_category WHERE id = %s", [[1]]),
        lambda foreign: connections[GLOBEX].cursor().execute("SET a.b = 1; DELETE FROM catalogue_category"),
        lambda foreign: connections[GLOBEX].introspection.table_names(),
        lambda foreign: list(Category.objects.using(GLOBEX)),
        lambda foreign: list(Category.objects.using(GLOBEX).iterator()),
        lambda foreign: list(Category.objects.using(GLOBEX).raw("SELECT * FROM catalogue_category")),
        lambda foreign: Category.objects.using(GLOBEX).update(name="Tea"),
        lambda foreign: Category.objects.using(GLOBEX).bulk_create([Category(name="Tea", slug="tea")]),
        lambda foreign: foreign.save(using=GLOBEX),
        lambda foreign: foreign.delete(using=GLOBEX),
        lambda foreign: foreign.refresh_from_db(using=GLOBEX),
        lambda foreign: transaction.atomic(using=GLOBEX)(names)(GLOBEX),
    ],
)
def test_no_statement_reaches_another_tenant(foreign: Category, reach: Callable[[Category], object]) -> None:
    with pytest.raises(TenantSwitchError, match="SQL for 'tenant_globex', while the tenant 'acme' is active"):
        reach(foreign)


@pytest.mark.parametrize("reach", [lambda foreign: foreign.refresh_from_db(), lambda foreign: foreign.slug])
def test_nor_does_an_object_read_itself_again_there(foreign: Category, reach: Callable[[Category], object]) -> None:
    with pytest.raises(TenantSwitchError, match="is from 'tenant_globex'"):
        reach(foreign)


def test_nothing_was_written_by_what_was_refused(foreign: Category, globex: CurrentTenant) -> None:
    with pytest.raises(TenantSwitchError), transaction.atomic(using=GLOBEX):
        Category.objects.using(GLOBEX).update(name="Tea")

    with tenant_context(globex, switch=True):
        assert names(GLOBEX) == ["Secret tea"]


def test_nor_does_one_in_a_thread_or_task_that_works_for_the_tenant(foreign: Category) -> None:
    refused: list[type[Exception]] = []

    def reach() -> None:
        try:
            names(GLOBEX)
        except TenantSwitchError as error:
            refused.append(type(error))
        finally:
            connections[GLOBEX].close()  # opened, if this thread is another one, though nothing was asked of it

    thread = threading.Thread(target=carry_context(reach))
    thread.start()
    thread.join()
    asyncio.run(sync_to_async(reach)())

    assert refused == [TenantSwitchError] * 2


def test_a_query_set_of_another_tenants_block_is_not_evaluated_outside(
    foreign: Category, globex: CurrentTenant
) -> None:
    everything = tenant_context(globex, switch=True)(Category.objects.all)

    with pytest.raises(TenantSwitchError, match="evaluated inside"):
        list(everything())


def test_who_says_so_reaches_another_tenant(foreign: Category, globex: CurrentTenant) -> None:
    with tenant_context(globex, switch=True):
        assert names(GLOBEX) == ["Secret tea"]
    with sql_on_any_site():
        assert names(GLOBEX) == ["Secret tea"]


@pytest.mark.no_tenant
def test_an_alias_may_be_named_where_no_tenant_is_active(foreign: Category) -> None:
    assert names(GLOBEX) == ["Secret tea"]
    with shared_context():
        assert names(GLOBEX) == ["Secret tea"]


# django.db.connection, which is the shared database's


def ask(kind: str, each: Any = connection) -> list[tuple[int]]:
    with getattr(each, kind)() as cursor:
        cursor.execute("SELECT 7")
        return list(cursor.fetchall())


KINDS = pytest.mark.parametrize("kind", ["cursor", "chunked_cursor"])


@KINDS
def test_a_cursor_that_names_no_database_is_not_the_shared_ones_by_chance(kind: str) -> None:
    with pytest.raises(TenantSwitchError, match=rf"connection\.{kind}\(\).*'acme' is active.*cursor_for"):
        ask(kind)


@KINDS
@pytest.mark.no_tenant
def test_nor_where_no_tenant_is_active(kind: str) -> None:
    with pytest.raises(NoActiveTenantError, match=rf'connections\["default"\]\.{kind}\(\)'):
        ask(kind)


@KINDS
@pytest.mark.no_tenant
def test_it_is_where_the_shared_one_is_meant(acme: CurrentTenant, kind: str) -> None:
    with shared_context():
        assert ask(kind) == [(7,)]
    with in_database("default", write=True):
        assert ask(kind) == [(7,)]
    with tenant_context(acme):
        assert ask(kind, connections["default"]) == [(7,)]


def test_what_asks_nothing_of_the_database_works_as_ever() -> None:
    assert connection.vendor == connections["default"].vendor
    assert connection.alias == "default"
