"""PostgreSQL's, also behind PgBouncer."""

from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, IsolationLevel, pq

from dbrouting.tenant_backend.wrapper import Stocked

Session = Connection[Any]

# What the driver remembers of a session, as the next borrower expects it. To set one costs as much as to ask for it.
DRIVERS_OWN = {"autocommit": True, "read_only": None, "deferrable": None, "isolation_level": None}


class DatabaseWrapper(Stocked, base.DatabaseWrapper):
    connection: Session | None

    @property
    def pool(self) -> None:
        """The stock is one."""

    @staticmethod
    def fileno(connection: Session) -> int:
        return -1 if connection.closed else connection.fileno()

    @staticmethod
    def is_closed(cursor: Any) -> bool:
        return bool(cursor.closed)

    def enter(self, connection: Session) -> None:
        if level := self.settings_dict["OPTIONS"].get("isolation_level"):
            connection.isolation_level = IsolationLevel(level)

    def leave(self, connection: Session) -> bool:
        """Without asking the server, if no transaction is open."""
        if connection.info.transaction_status != pq.TransactionStatus.IDLE:
            connection.rollback()
        for setting, value in DRIVERS_OWN.items():
            if getattr(connection, setting) != value:
                setattr(connection, setting, value)
        return not connection.closed

    def is_idle(self) -> bool:
        """Not after a BEGIN in SQL either."""
        status = self.connection and self.connection.info.transaction_status
        return status != pq.TransactionStatus.INTRANS and super().is_idle()
