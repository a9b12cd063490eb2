"""SQL that asks no router: it may not leave the active tenant either, and doesn't mean the shared database by chance.

Whatever it comes from (``.using()``, an object that remembers its database, a cursor), a statement for one tenant's
database raises while another tenant is active. ``django.db.connection`` is ``default`` wherever the code runs, so its
cursors raise except on the shared site; ``connections["default"]`` says that this is meant.
"""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper
from django.utils.connection import ConnectionProxy

from dbrouting.blocks import Block, Frames
from dbrouting.overrides import current_override
from dbrouting.routers import is_tenant
from dbrouting.tenant_context import NoActiveTenantError, TenantSwitchError, get_current_tenant, is_shared_context

# What neither reads nor writes a row. Tests open and end transactions everywhere, whatever tenant they work for.
HARMLESS = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ", "PRAGMA ")


class sql_on_any_site(Block[bool]):  # noqa: N801  a function to those who use it
    """Inside, a tenant's code may go to other tenants' databases too: for what looks at all of them, such as a test."""

    frames: Frames[bool] = Frames("sql_on_any_site")

    def decide(self) -> bool:
        return True


def stay_with_tenant(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    tenant = get_current_tenant()
    alias = context["connection"].alias
    if tenant and alias != tenant.alias and not (sql_on_any_site.frames.innermost() or is_harmless(sql)):
        raise TenantSwitchError(
            f"SQL for {alias!r}, while the tenant {tenant.name!r} is active: its sessions, cache and log records would "
            "be mixed with another site's. Leave the tenant first, or write "
            "`with tenant_context(other, switch=True):`; a query set is evaluated inside."
        )
    return execute(sql, params, many, context)


def is_harmless(sql: object) -> bool:
    return str(sql).startswith(HARMLESS) and ";" not in str(sql)


def guard(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Once for each connection object, which may connect again and again."""
    if is_tenant(connection.alias) and stay_with_tenant not in connection.execute_wrappers:
        connection.execute_wrappers.append(stay_with_tenant)


class SharedConnection(ConnectionProxy):  # type: ignore[type-arg]  # at run time it takes no argument
    """``django.db.connection``, whose cursors are for those who work for the shared database."""

    def cursor(self) -> CursorWrapper:
        require_shared("cursor")
        return connections[DEFAULT_DB_ALIAS].cursor()

    def chunked_cursor(self) -> CursorWrapper:
        require_shared("chunked_cursor")
        return connections[DEFAULT_DB_ALIAS].chunked_cursor()


def require_shared(kind: str) -> None:
    tenant, override = get_current_tenant(), current_override()
    if tenant:
        raise TenantSwitchError(
            f"connection.{kind}() is the shared database's, while the tenant {tenant.name!r} is active. For the "
            "tenant's own write cursor_for(Model), from dbrouting.sql; if the shared one is meant, "
            f'connections["default"].{kind}().'
        )
    if not is_shared_context() and (override is None or override.write != DEFAULT_DB_ALIAS):
        raise NoActiveTenantError(f'connection.{kind}() may mean any site (connections["default"].{kind}() says which)')


connection_created.connect(guard)
object.__setattr__(connection, "__class__", SharedConnection)  # setattr() would reach the connection behind it
