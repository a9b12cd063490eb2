"""Test databases: a schema for each listed tenant, in one test database, which may be the shared one's too."""

from django.db.backends.postgresql.creation import DatabaseCreation

from dbrouting.provisioning import PostgreSQL, create_database, drop_database
from dbrouting.schemas.sessions import schema_of


class SchemaCreation(DatabaseCreation):
    def test_db_signature(self) -> tuple[str, str, str, str]:
        """What tells one test database from another for Django: each schema has migrations of its own to run."""
        host, port, engine, name = super().test_db_signature()
        return host, port, engine, f"{name}.{schema_of(self.connection.settings_dict)}"

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        """The database itself may be there already, made for the shared tables or for another tenant."""
        connection = self.connection.copy()
        name: str = self._get_test_db_name()  # type: ignore[attr-defined]  # Django's own, without a stub
        connection.settings_dict["NAME"] = name
        if not keepdb:
            drop_database(connection)
        create_database(connection)
        return name

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        """The first of those who share the database drops it."""
        self.connection.close_pool()
        if PostgreSQL().exists(self.connection):
            super()._destroy_test_db(test_database_name, verbosity)  # type: ignore[misc]  # likewise
