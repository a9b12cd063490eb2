"""``TENANT_ATOMIC_REQUESTS``: each view in a transaction of its own site's database, and of no other.

Django's ``ATOMIC_REQUESTS`` is a matter of listed databases. It would open a transaction in the shared one on each
tenant's requests, and none in the tenant's.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.db import DEFAULT_DB_ALIAS, transaction

from dbrouting.tenant_context import get_current_tenant

View = Callable[..., Any]


def is_exempt(view: View, alias: str) -> bool:
    """Whether ``@transaction.non_atomic_requests`` is said of ``view``; without ``using`` it means the site's own."""
    exempt: set[str] = getattr(view, "_non_atomic_requests", set())
    return alias in exempt or DEFAULT_DB_ALIAS in exempt


def atomic_on_its_site(view: View) -> View:
    tenant = get_current_tenant()
    alias = tenant.alias if tenant else DEFAULT_DB_ALIAS
    if not settings.TENANT_ATOMIC_REQUESTS or is_exempt(view, alias):
        return view
    if iscoroutinefunction(view):
        raise RuntimeError(
            "TENANT_ATOMIC_REQUESTS can't cover an asynchronous view: a transaction belongs to one thread. Decorate "
            f"{view.__module__}.{view.__qualname__} with @transaction.non_atomic_requests, and use atomic_for(Model) "
            "in a synchronous function that it calls."
        )
    return transaction.atomic(using=alias)(view)


_make_view_atomic = BaseHandler.make_view_atomic


def make_view_atomic(self: BaseHandler, view: View) -> View:
    """In place of Django's: the one moment that has the view as it is called, and the request's site around it."""
    return atomic_on_its_site(_make_view_atomic(self, view))


BaseHandler.make_view_atomic = make_view_atomic  # type: ignore[method-assign]  # on purpose
