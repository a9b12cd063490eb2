"""A query goes to the active tenant's database; without one it goes nowhere."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connections, router
from django.db.models import Model

from accounts.factories import UserFactory
from accounts.models import User
from catalogue.factories import CategoryFactory, ProductFactory
from catalogue.models import Category, Product
from dbrouting.contexts import carry_context
from dbrouting.mapping import complete
from dbrouting.overrides import ReadOnlyOverrideError, in_database
from dbrouting.sql import atomic_for, cursor_for, on_commit_for
from dbrouting.tenant_context import (
    CurrentTenant,
    NoActiveTenantError,
    TenantSwitchError,
    get_current_tenant,
    is_shared_context,
    shared_context,
    tenant_context,
)
from dbrouting.testing import assert_routed_to
from orders.models import Order
from reference.models import Currency
from tenants.models import Tenant

TENANT_MODELS = [Category, Product, Order]
EVERY_SITE_MODELS = [User, Group, ContentType, Session]
SHARED_MODELS = [Tenant, Currency]


def alias_here() -> str:
    return router.db_for_read(Product)


def both(model: type[Model]) -> tuple[str, str]:
    return router.db_for_read(model), router.db_for_write(model)


# Fail closed


@pytest.mark.no_tenant
@pytest.mark.parametrize("model", [*TENANT_MODELS, *EVERY_SITE_MODELS])
@pytest.mark.parametrize("ask", [router.db_for_read, router.db_for_write])
def test_without_a_tenant_no_database_is_named(ask: Callable[..., str], model: type[Model]) -> None:
    with pytest.raises(NoActiveTenantError, match=rf"{model._meta.label} .*with tenant_context\(tenant\)"):
        ask(model)


@pytest.mark.django_db
@pytest.mark.no_tenant
@pytest.mark.parametrize(
    "query",
    [
        lambda: list(Product.objects.all()),
        lambda: Product.objects.count(),
        lambda: Category.objects.create(name="Tea", slug="tea"),
        lambda: Category(name="Tea", slug="tea").save(),
        lambda: Category.objects.bulk_create([Category(name="Tea", slug="tea")]),
        lambda: Category.objects.update(name="Tea"),
        lambda: Category.objects.all().delete(),
        lambda: User.objects.get_or_create(username="ada"),
        lambda: cursor_for(Product),
        lambda: cursor_for(Product, read_only=True),
        lambda: Product.objects.raw("SELECT * FROM catalogue_product")[0],
        lambda: atomic_for(Product),
        lambda: on_commit_for(Product, lambda: None),
        lambda: CategoryFactory.create(),
        lambda: UserFactory.create(),
    ],
)
def test_without_a_tenant_nothing_is_read_or_written(query: Callable[[], object]) -> None:
    with pytest.raises(NoActiveTenantError):
        query()


@pytest.mark.parametrize("model", TENANT_MODELS)
@pytest.mark.no_tenant
def test_the_shared_site_has_no_tables_of_tenants(model: type[Model]) -> None:
    with shared_context(), pytest.raises(NoActiveTenantError):
        router.db_for_read(model)


@pytest.mark.parametrize("model", EVERY_SITE_MODELS)
def test_users_and_sessions_are_the_sites_own(model: type[Model], acme: CurrentTenant) -> None:
    assert both(model) == (acme.alias, acme.alias)
    with shared_context(switch=True):
        assert both(model) == ("default", "default")


@pytest.mark.no_tenant
@pytest.mark.parametrize("model", SHARED_MODELS)
def test_shared_tables_are_in_one_place_whoever_asks(model: type[Model], acme: CurrentTenant) -> None:
    assert both(model) == ("default", "default")
    with shared_context():
        assert both(model) == ("default", "default")
    with tenant_context(acme):
        assert both(model) == ("default", "default")
        with in_database(acme.alias, write=True):
            assert both(model) == ("default", "default")


@pytest.mark.django_db
def test_a_tenant_reads_the_shared_tables() -> None:
    Currency.objects.get_or_create(code="EUR", defaults={"name": "Euro"})
    with assert_routed_to("default"):
        assert Currency.objects.get(code="EUR").name == "Euro"


@pytest.mark.django_db
def test_reads_writes_raw_sql_and_factories_agree(acme: CurrentTenant, globex: CurrentTenant) -> None:
    with assert_routed_to(acme.alias):
        ProductFactory.create(category__slug="tea")
        Product.objects.update(stock=7)
        with cursor_for(Product) as cursor:
            cursor.execute("SELECT stock FROM catalogue_product")
            assert list(cursor.fetchall()) == [(7,)]
        assert User.objects.count() == 0
    with tenant_context(globex, switch=True), assert_routed_to(globex.alias):
        assert not Product.objects.exists()


# Threads and tasks


def test_a_bare_thread_has_no_tenant(acme: CurrentTenant) -> None:
    found: list[object] = []

    def work() -> None:
        try:
            found.append(alias_here())
        except NoActiveTenantError as error:
            found.append(type(error))

    for target in (work, carry_context(work)):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()

    assert found == [NoActiveTenantError, acme.alias]


def test_an_executor_has_no_tenant_unless_it_is_carried(acme: CurrentTenant) -> None:
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(NoActiveTenantError):
            pool.submit(alias_here).result()
        carried = carry_context(alias_here)
        assert [future.result() for future in [pool.submit(carried) for _ in range(6)]] == [acme.alias] * 6


def test_run_in_executor_has_no_tenant_unless_it_is_carried(acme: CurrentTenant) -> None:
    async def main() -> tuple[object, str]:
        loop = asyncio.get_running_loop()
        bare, *_ = await asyncio.gather(loop.run_in_executor(None, alias_here), return_exceptions=True)
        return type(bare), await loop.run_in_executor(None, carry_context(alias_here))

    assert asyncio.run(main()) == (NoActiveTenantError, acme.alias)


def test_tasks_and_their_threads_keep_to_their_tenant(acme: CurrentTenant, globex: CurrentTenant) -> None:
    async def work(tenant: CurrentTenant) -> bool:
        with tenant_context(tenant, switch=True):
            await asyncio.sleep(0.001)
            found = {alias_here(), await asyncio.to_thread(alias_here), await sync_to_async(alias_here)()}
            await asyncio.sleep(0.001)
            return found == {tenant.alias} and alias_here() == tenant.alias

    async def main() -> list[bool]:
        return await asyncio.gather(*(work(tenant) for tenant in [acme, globex] * 10))

    assert all(asyncio.run(main()))
    assert get_current_tenant() == acme


# Entering and leaving


def test_switching_inside_a_tenant_is_refused_unless_it_is_said(acme: CurrentTenant, globex: CurrentTenant) -> None:
    for other in (tenant_context(globex), shared_context()):
        with pytest.raises(TenantSwitchError, match=r"'acme' is active.*switch=True"), other:
            pass
    with tenant_context(acme):
        assert alias_here() == acme.alias
    with tenant_context(globex, switch=True):
        assert alias_here() == globex.alias
    with shared_context(switch=True):
        assert is_shared_context()
    assert get_current_tenant() == acme
    assert not is_shared_context()


@pytest.mark.no_tenant
def test_the_shared_site_may_work_for_a_tenant(acme: CurrentTenant) -> None:
    with shared_context():
        with tenant_context(acme):
            assert not is_shared_context()
            with pytest.raises(TenantSwitchError), shared_context():
                pass
        assert is_shared_context()
    assert not is_shared_context()


@pytest.mark.no_tenant
def test_an_exception_leaves_the_tenant(acme: CurrentTenant) -> None:
    with pytest.raises(ZeroDivisionError), tenant_context(acme):
        raise ZeroDivisionError
    assert get_current_tenant() is None


@pytest.mark.no_tenant
def test_the_contexts_decorate_functions_and_coroutine_functions(acme: CurrentTenant) -> None:
    @tenant_context(acme)
    def function(argument: int) -> tuple[int, str]:
        return argument, alias_here()

    @tenant_context(acme)
    async def coroutine_function() -> str:
        await asyncio.sleep(0)
        return alias_here()

    assert function(1) == function(1) == (1, acme.alias)
    assert asyncio.run(coroutine_function()) == acme.alias
    assert shared_context()(is_shared_context)()
    assert get_current_tenant() is None


def test_the_contexts_refuse_to_decorate_generators(acme: CurrentTenant) -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    for function in (generator, async_generator):
        with pytest.raises(TypeError, match="generator"):
            tenant_context(acme)(function)


@pytest.mark.no_tenant
def test_a_generator_that_yields_inside_a_block_is_an_error_not_a_leak(
    acme: CurrentTenant, globex: CurrentTenant
) -> None:
    def generator() -> Iterator[None]:
        with tenant_context(acme):
            yield

    def main() -> None:
        running = generator()
        next(running)
        with tenant_context(globex, switch=True), pytest.raises(RuntimeError, match=r"'acme'\) ends where it did not"):
            next(running)

    copy_context().run(main)  # what the mistake leaves behind goes with it


@pytest.mark.no_tenant
@pytest.mark.django_db
def test_a_row_is_entered_as_a_plain_value() -> None:
    row = Tenant.objects.get(name="acme")
    with tenant_context(row):
        assert get_current_tenant() == CurrentTenant(str(row.id), "acme", "tenant_acme")


# The override


def test_an_override_cannot_reach_another_site(globex: CurrentTenant) -> None:
    for alias in (globex.alias, "default"):
        with in_database(alias, write=True):
            for ask in (router.db_for_read, router.db_for_write):
                with pytest.raises(TenantSwitchError, match=rf"'{alias}'.*'acme' is active.*switch=True"):
                    ask(Product)


def test_an_override_may_name_the_tenants_own_database(acme: CurrentTenant) -> None:
    with in_database(acme.alias, write=True):
        assert both(Product) == (acme.alias, acme.alias)


def test_an_override_may_name_a_database_that_is_no_site() -> None:
    with in_database({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, write=True) as archive:
        assert both(Product) == (archive.database, archive.database)


@pytest.mark.no_tenant
def test_an_override_serves_scripts_that_work_for_no_tenant(globex: CurrentTenant) -> None:
    with in_database(globex.alias, write=True):
        assert both(Product) == both(User) == (globex.alias, globex.alias)
    with in_database(globex.alias), pytest.raises(ReadOnlyOverrideError):
        router.db_for_write(Product)


# Objects


@pytest.fixture
def foreign(db: None, globex: CurrentTenant) -> Category:
    """A category of globex, in the hands of code that works for acme."""
    with tenant_context(globex, switch=True):
        return CategoryFactory.create(slug="tea")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cross",
    [
        lambda foreign: foreign.save(),
        lambda foreign: foreign.delete(),
        lambda foreign: foreign.refresh_from_db(),
        lambda foreign: list(foreign.products.all()),
        lambda foreign: foreign.products.create(name="Sencha", slug="sencha", price=1),
        lambda foreign: Product(category=foreign),
        lambda foreign: ProductFactory.create(category=foreign),
    ],
)
def test_objects_do_not_cross_from_one_tenant_to_another(
    foreign: Category, cross: Callable[[Category], object]
) -> None:
    with pytest.raises(TenantSwitchError, match="'tenant_globex'"):
        cross(foreign)


@pytest.mark.django_db
def test_objects_of_two_tenants_are_not_related(foreign: Category, globex: CurrentTenant) -> None:
    product = ProductFactory.create()
    with pytest.raises(ValueError, match="router prevents this relation"):
        product.category = foreign
    with tenant_context(globex, switch=True):
        staff = Group.objects.create(name="staff")
    with pytest.raises(ValueError, match='value is on database "tenant_globex"'):
        UserFactory.create().groups.add(staff)


@pytest.fixture(params=["an alias", "a dictionary"])
def archived(request: pytest.FixtureRequest, acme: CurrentTenant, monkeypatch: pytest.MonkeyPatch) -> Category:
    """A category from a database that is no site, where acme has another one with its id."""
    config: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    with in_database(config, write=True) as archive:
        with connections[archive.database].schema_editor() as editor:
            editor.create_model(Category)
        category = Category.objects.create(pk=1, name="Archived", slug="archived")
    if request.param == "an alias":  # Django lets no test query one that is listed while it runs
        monkeypatch.setitem(connections.settings, "archive", complete(config))
        category._state.db = "archive"
    Category.objects.using(acme.alias).create(pk=1, name="Tea", slug="tea")
    return category


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cross",
    [
        lambda archived: archived.save(),
        lambda archived: archived.delete(),
        lambda archived: list(archived.products.all()),
        lambda archived: archived.products.create(name="Sencha", slug="sencha", price=1),
    ],
)
def test_objects_of_a_database_that_is_no_site_do_not_cross_either(
    archived: Category, cross: Callable[[Category], object]
) -> None:
    with pytest.raises(TenantSwitchError, match=f"is from '{archived._state.db}'"):
        cross(archived)

    assert [row.name for row in Category.objects.all()] == ["Tea"]


@pytest.mark.django_db
def test_an_override_takes_a_tenants_objects_to_a_database_that_is_no_site() -> None:
    tea = CategoryFactory.create()

    with in_database({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, write=True) as archive:
        assert router.db_for_write(Category, instance=tea) == archive.database


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_where_no_tenant_is_active_they_go_back_to_where_they_are_from(archived: Category) -> None:
    assert router.db_for_write(Category, instance=archived) == archived._state.db


@pytest.mark.django_db
def test_they_may_be_copied_deliberately(archived: Category) -> None:
    archived.save(using="tenant_acme")

    assert Category.objects.get().name == "Archived"


@pytest.mark.django_db
def test_the_error_asks_nothing_of_the_object(globex: CurrentTenant) -> None:
    """An object's own description may query, and would fail in the same way for ever."""
    with tenant_context(globex, switch=True):
        CategoryFactory.create(name="Tea")
        permission, half = Permission.objects.all()[0], Category.objects.defer("name").get()

    with pytest.raises(TenantSwitchError, match=rf"auth\.Permission {permission.pk} is from 'tenant_globex'"):
        permission.save()
    with pytest.raises(TenantSwitchError, match=rf"catalogue\.Category {half.pk} is from 'tenant_globex'"):
        half.save()


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_a_user_of_the_shared_site_does_not_lead_to_tables_that_only_tenants_have() -> None:
    with shared_context():
        user = UserFactory.create()
        assert router.db_for_read(Session, instance=user) == "default"
        with pytest.raises(NoActiveTenantError):
            router.db_for_read(Order, instance=user)
    with pytest.raises(NoActiveTenantError):
        router.db_for_write(Order, instance=user)


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_an_override_does_not_carry_objects_across(foreign: Category, acme: CurrentTenant) -> None:
    with in_database(acme.alias, write=True), pytest.raises(TenantSwitchError, match="is from 'tenant_globex'"):
        foreign.save()


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_an_object_read_by_using_finds_what_belongs_to_it(foreign: Category, globex: CurrentTenant) -> None:
    again = Category.objects.using(globex.alias).get(slug="tea")
    with assert_routed_to(globex.alias):
        again.name = "Teas"
        again.save()
        assert not again.products.exists()


@pytest.mark.django_db
def test_a_shared_object_does_not_lead_a_tenants_rows_astray(acme: CurrentTenant) -> None:
    currency, _ = Currency.objects.get_or_create(code="EUR", defaults={"name": "Euro"})

    assert router.db_for_read(Product, instance=currency) == acme.alias
    with tenant_context(acme):
        assert not router.allow_relation(ProductFactory.create(), currency)


# Tables

EVERY_SITE_LABELS = {"accounts", "admin", "auth", "contenttypes", "sessions"}
ALL_LABELS = {"tenants", "reference", "catalogue", "orders", *EVERY_SITE_LABELS}


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    ("alias", "labels"),
    [
        ("default", {"tenants", "reference", *EVERY_SITE_LABELS}),
        ("tenant_acme", {"catalogue", "orders", *EVERY_SITE_LABELS}),
        ("tenant_nobody_yet", {"catalogue", "orders", *EVERY_SITE_LABELS}),
        ("archive", set()),
    ],
)
def test_tables_are_where_the_app_lives(alias: str, labels: set[str]) -> None:
    assert {label for label in ALL_LABELS if router.allow_migrate(alias, label)} == labels


@pytest.mark.no_tenant
def test_the_database_of_a_static_route_is_a_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.DYNAMIC_DB_ROUTES", {"old.example": "legacy"})

    assert router.allow_migrate("legacy", "orders")
    assert not router.allow_migrate("legacy", "tenants")


@pytest.mark.django_db
@pytest.mark.no_tenant
def test_the_tables_are_really_there() -> None:
    def tables(alias: str) -> set[str]:
        return set(connections[alias].introspection.table_names())

    assert {"tenants_tenant", "reference_currency", "accounts_user"} <= tables("default")
    assert not {"catalogue_product", "orders_order"} & tables("default")
    for alias in ("tenant_acme", "tenant_globex"):
        assert {"catalogue_product", "orders_order", "accounts_user"} <= tables(alias)
        assert not {"tenants_tenant", "reference_currency"} & tables(alias)
