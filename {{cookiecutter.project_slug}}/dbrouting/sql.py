"""Raw SQL, transactions and commit hooks on the database that the router picks.

``connection``, ``atomic()`` and ``on_commit()`` without ``using`` mean ``default`` whatever the routers say: a row
written elsewhere survives the rollback, and the hook fires while its transaction is still open.
"""

from collections.abc import Callable

from django.db import connections, router, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model
from django.db.transaction import Atomic


def cursor_for(model: type[Model], *, read_only: bool = False) -> CursorWrapper:
    """A cursor where ``model`` is written; with ``read_only`` where it is read, which may be a copy that lags.

    >>> with cursor_for(Order) as cursor:
    ...     cursor.execute("UPDATE orders_order SET status = %s WHERE id = %s", ["paid", 7])
    """
    alias = router.db_for_read(model) if read_only else router.db_for_write(model)
    return connections[alias].cursor()


def atomic_for(model: type[Model], *, savepoint: bool = True, durable: bool = False) -> Atomic:
    """``transaction.atomic`` on the database where ``model`` is written. It covers that one database only."""
    return transaction.atomic(using=router.db_for_write(model), savepoint=savepoint, durable=durable)


def on_commit_for(model: type[Model], function: Callable[[], object], *, robust: bool = False) -> None:
    """Call ``function`` once the open transaction on ``model``'s write database commits; at once if none is open."""
    transaction.on_commit(function, using=router.db_for_write(model), robust=robust)
