"""Statements that bring their schema along, for sessions that PgBouncer hands out for one transaction each."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

from django.db.backends.postgresql.base import CursorMixin
from psycopg import ClientCursor, Copy, NotSupportedError, pq, sql

# PostgreSQL's comments may have others in them. These have some at most one deep.
_INNER_COMMENT = r"/\*(?:(?!/\*|\*/).)*\*/"
_COMMENT = rf"/\*(?:{_INNER_COMMENT}|(?!/\*|\*/).)*\*/"
# Text in which a word is no keyword. A name may have a $ in it, and a string after E a quote behind a backslash.
_QUOTED = re.compile(
    rf"""--[^\r\n]*|{_COMMENT}|(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"""
    r"""|"[^"]*"|(?<![\w$])\$((?:[^\W\d]\w*)?)\$.*?\$\1\$""",
    re.DOTALL,
)
# A statement that ends the transaction, and another after it.
_ENDS_IN_THE_MIDDLE = re.compile(
    r"(?:^|;)\s*(?:commit|end|abort|prepare\s+transaction|rollback(?!(\s+\w+)?\s+to\b))\b[^;]*;\s*\S", re.IGNORECASE
)
# A setting that outlasts the transaction.
_SETS_THE_SESSION = re.compile(r"(?:^|;)\s*set\s+(?!local\b|transaction\b|constraints\b)", re.IGNORECASE)


class Transactions(Protocol):
    """Who knows whether each statement has a transaction of its own."""

    def get_autocommit(self) -> bool: ...


class TransactionCursor(CursorMixin, ClientCursor[Any]):
    """Every statement goes to the server in one message with a ``SET LOCAL search_path`` before it.

    Such a message is a transaction by itself, unless one is open; so the path holds for this statement, and for nobody
    after it. Temporary tables come last: those that another tenant left would hide this one's.
    """

    def __init__(self, transactions: Transactions, schema: str, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._transactions = transactions
        # Where the schema is missing, new tables would go to the next in the path: to pg_catalog, which refuses them.
        self._path = f'SET LOCAL search_path TO "{schema}", pg_catalog, pg_temp; '
        level = connection.isolation_level
        self._begin = f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}; " if level else "BEGIN; "

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Self:
        refuse_what_outlasts_its_transaction(query)
        before = self._before()
        super().execute(joined(before, query), params, **kwargs)
        for _ in before:
            self.nextset()
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], **kwargs: Any) -> None:
        with self._path_set():
            super().executemany(query, params_seq, **kwargs)

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **kwargs: Any) -> Iterator[Copy]:
        with self._path_set(), super().copy(statement, params, **kwargs) as copy:
            yield copy

    def stream(self, query: Any, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        with self._path_set():
            yield from super().stream(query, params, **kwargs)

    @property
    def _status(self) -> pq.TransactionStatus:
        return self.connection.info.transaction_status

    def _before(self) -> list[str]:
        """What the next statement needs in front of it; after an error the server runs nothing but a rollback."""
        if self._status == pq.TransactionStatus.INERROR:
            return []
        begins = self._status == pq.TransactionStatus.IDLE and not self._transactions.get_autocommit()
        return [self._begin, self._path] if begins else [self._path]

    @contextmanager
    def _path_set(self) -> Iterator[None]:
        """For what is more than one message: a transaction around it, if none is open."""
        is_own = self._status == pq.TransactionStatus.IDLE and self._transactions.get_autocommit()
        super().execute("".join([self._begin, self._path] if is_own else self._before()))
        try:
            yield
        except BaseException:
            if is_own:
                self.connection.rollback()
            raise
        if is_own:
            self.connection.commit()


def joined(before: list[str], query: Any) -> Any:
    text = "".join(before)
    if isinstance(query, sql.Composable):
        return sql.SQL(text) + query
    return text.encode() + query if isinstance(query, bytes) else text + query


def refuse_what_outlasts_its_transaction(query: Any) -> None:
    """After its end in the middle of a text the rest would run without a path; a ``SET`` is the next client's too."""
    text = query.as_string() if isinstance(query, sql.Composable) else query
    text = text.decode() if isinstance(text, bytes) else text
    bare = _QUOTED.sub(" ", text) if ";" in text or "set" in text[:200].lower() else ""
    if "/*" in bare or _ENDS_IN_THE_MIDDLE.search(bare):
        raise NotSupportedError(
            "A transaction ends in the middle of this text, and behind PgBouncer the rest would not be in the tenant's "
            "schema. Execute one statement at a time."
        )
    if _SETS_THE_SESSION.search(bare):
        raise NotSupportedError("Behind PgBouncer the next client would have this setting too. Say SET LOCAL instead.")
