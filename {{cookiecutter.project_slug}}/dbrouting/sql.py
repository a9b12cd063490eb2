"""Raw SQL, transactions and commit hooks on the database that the router picks.

``connection``, ``atomic()`` and ``on_commit()`` without ``using`` mean ``default`` whatever the routers say: a row
written elsewhere survives the rollback, and the hook fires while its transaction is still open.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

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


class SeveralDatabasesError(Exception):
    """Models that are to be written in one transaction are in several databases, and no transaction covers those."""


def atomic_for(model: type[Model], *others: type[Model], savepoint: bool = True, durable: bool = False) -> Atomic:
    """``transaction.atomic`` on the one database where all these models are written. It covers no other."""
    homes = {one._meta.label: router.db_for_write(one) for one in (model, *others)}
    aliases = list(dict.fromkeys(homes.values()))
    if len(aliases) > 1:
        places = ", ".join(f"{label} on {alias!r}" for label, alias in homes.items())
        raise SeveralDatabasesError(
            f"No transaction covers {places}. In atomic_in_order({', '.join(map(repr, aliases))}) an exception undoes "
            "all of it, but a crash between the commits leaves what was committed first. To lose nothing, record in "
            'the first transaction what is to be done in the other ("A transaction covers one database" in README.md).'
        )
    return transaction.atomic(using=aliases[0], savepoint=savepoint, durable=durable)


@contextmanager
def atomic_in_order(*aliases: str) -> Iterator[None]:
    """A transaction on each of ``aliases``; they are committed one after the other, in this order.

    An exception in the block, or in the first commit, rolls all of them back. After that nothing does: a commit that
    fails, or a crash between two, leaves what was committed before. So begin with what can stand alone. There must be
    no transaction on any of them around the block, for that would decide when it is committed.

    >>> with atomic_in_order("auth_db", "orders_db"):
    ...     user.save()
    ...     order.save()
    """
    if not aliases:
        raise ValueError('atomic_in_order() would open no transaction: name databases, as in ("auth_db", "orders_db").')
    with ExitStack() as stack:
        for alias in reversed(aliases):  # the last that is entered is the first that is left
            stack.enter_context(transaction.atomic(using=alias, durable=True))
        yield


def on_commit_for(model: type[Model], function: Callable[[], object], *, robust: bool = False) -> None:
    """Call ``function`` once the open transaction on ``model``'s write database commits; at once if none is open."""
    transaction.on_commit(function, using=router.db_for_write(model), robust=robust)
