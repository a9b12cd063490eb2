"""``manage.py dbshell --database tenant_acme`` opens in the tenant's schema."""

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql.client import DatabaseClient

from dbrouting.schemas.sessions import schema_of


class SchemaClient(DatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        arguments, environment = super().settings_to_cmd_args_env(settings_dict, parameters)
        return arguments, {**(environment or {}), "PGOPTIONS": f"-c search_path={schema_of(settings_dict)}"}
