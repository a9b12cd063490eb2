"""MySQL's and MariaDB's."""

from typing import Any

from django.db.backends.mysql import base

from dbrouting.tenant_backend.wrapper import Stocked

# What a driver says of a server that has gone away, or ended the session.
LOST = {2006, 2013}


class DatabaseWrapper(Stocked, base.DatabaseWrapper):
    @staticmethod
    def fileno(connection: Any) -> int:
        """The socket is inside of PyMySQL's connections. mysqlclient's say its number themselves, and go on to when the
        session is lost and the number may be another socket's.
        """
        if not connection.open or (hasattr(connection, "errno") and connection.errno() in LOST):
            return -1
        number: int = getattr(connection, "_sock", connection).fileno()
        return number

    @staticmethod
    def is_closed(cursor: Any) -> bool:
        return cursor.cursor.connection is None

    def leave(self, connection: Any) -> bool:
        """A session that failed is not kept: its database may be gone, and one of that name made since.

        After a USE in SQL the next borrower would be in another tenant's database, and nothing else would tell.
        """
        connection.rollback()
        if name := self.settings_dict["NAME"]:
            connection.select_db(name)
        return self.autocommit and not self.errors_occurred

    def init_connection_state(self) -> None:
        if not self.is_warm:  # where it is as the first one left it
            super().init_connection_state()
