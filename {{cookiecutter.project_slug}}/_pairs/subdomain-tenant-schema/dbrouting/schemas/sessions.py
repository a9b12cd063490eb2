"""PostgreSQL sessions that tenants take turns at, each of them in its own schema only.

``public`` is never in the ``search_path``, for there a missing table would be the shared one. How it is set depends on
what is between this process and the server:

- The server itself: when a session is taken from the stock, whatever the path seems to be, and together with all else
  that the last borrower may have left. Until then, and after a RESET, it is empty: a query fails instead of finding
  another's rows.
- PgBouncer, which gives each transaction any session: with every statement, in the same message and for its
  transaction only.
"""

import re
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import NO_DB_ALIAS
from psycopg import NotSupportedError, OperationalError, pq

from dbrouting.schemas.transactions import TransactionCursor
from dbrouting.tenant_backend import base
from dbrouting.tenant_backend.base import Session

# One message, so one round trip, which also shows that the session is alive and that the schema is there. What comes
# before the SELECT is DISCARD ALL in words that may stand beside others.
ENTER = """CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD PLANS;
    DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_backend_pid(), current_setting('search_path'),
    set_config('search_path', quote_ident('{name}'), false), to_regnamespace(quote_ident('{name}')),
    pg_advisory_unlock_all()"""

# PostgreSQL cuts a longer name, so that two tenants could mean the same schema.
_NAME = re.compile(r"(?!pg_|public$|information_schema$)[a-z][a-z0-9_]{0,62}")


def schema_of(config: dict[str, Any]) -> str:
    """The schema that a database's configuration names."""
    name = config.get("SCHEMA")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ImproperlyConfigured(
            f"SCHEMA = {name!r} can't be a tenant's: it takes at most 63 lower-case letters, digits and _, a letter "
            "first, and is none of PostgreSQL's own and not public."
        )
    return name


class DatabaseWrapper(base.DatabaseWrapper):
    @property
    def is_behind_pgbouncer(self) -> bool:
        return bool(self.settings_dict.get("PGBOUNCER"))

    def check_settings(self) -> None:
        super().check_settings()
        schema_of(self.settings_dict)
        if self.is_behind_pgbouncer and self.settings_dict["OPTIONS"].get("server_side_binding"):
            raise ImproperlyConfigured(f"{self.alias!r} can't have server_side_binding: it is behind PgBouncer.")

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        # No prepared statements: the session's next borrower, here or in PgBouncer, would not have them.
        params["prepare_threshold"] = None
        if not self.is_behind_pgbouncer:
            params["options"] = f"{params.get('options', '')} -c search_path= -c TimeZone={self.timezone_name}"
        return params

    def enter(self, connection: Session) -> None:
        super().enter(connection)
        name = "pg_catalog" if self.alias == NO_DB_ALIAS else schema_of(self.settings_dict)
        if not self.is_behind_pgbouncer:
            clean_and_enter(connection, name, self.settings_dict.get("VARIABLE", "the URL"))
        elif self.alias != NO_DB_ALIAS:
            connection.cursor_factory = partial(TransactionCursor, self, name)  # type: ignore[assignment]  # also calls
            connection.server_cursor_factory = refuse_server_side_cursor  # type: ignore[assignment]  # likewise

    def _set_autocommit(self, autocommit: bool) -> None:
        """Behind PgBouncer it is the cursor that begins a transaction: then its path is in the same message."""
        super()._set_autocommit(autocommit or self.is_behind_pgbouncer)  # type: ignore[misc]  # Django's own, no stub


def clean_and_enter(session: Session, name: str, variable: str) -> None:
    """Outside any transaction, for a rollback would undo it.

    By libpq itself: the driver would read the answer of each statement, and only the last says something.
    """
    answer = session.pgconn.exec_(ENTER.format(name=name).encode())
    if answer.status != pq.ExecStatus.TUPLES_OK:
        raise OperationalError(answer.get_error_message())
    process, path, _, schema = (answer.get_value(0, column) for column in range(4))
    if path or process != str(session.info.backend_pid).encode():
        raise OperationalError(
            f"a PgBouncer between this process and the server hands each transaction another session, and the URL in "
            f"{variable} doesn't say so: add pgbouncer=true to it"
        )
    if schema is None:
        raise OperationalError(f'schema "{name}" does not exist')


def refuse_server_side_cursor(*args: object, **kwargs: object) -> None:
    raise NotSupportedError("PgBouncer has no cursors on the server: they would outlive their transaction.")
