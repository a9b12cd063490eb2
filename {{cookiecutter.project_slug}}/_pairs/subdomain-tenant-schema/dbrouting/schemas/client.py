"""The server's own shell, for one tenant: in its schema only, as its connections are."""

import os
from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql.client import DatabaseClient

from dbrouting.schemas.sessions import schema_of


class SchemaClient(DatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """With the schema as what the session begins with, so that ``RESET`` and ``\\c`` lead back there."""
        args, env = super().settings_to_cmd_args_env(settings_dict, parameters)
        options = f"{os.environ.get('PGOPTIONS', '')} -c search_path={schema_of(settings_dict)}"
        return args, {**(env or {}), "PGOPTIONS": options.strip()}
