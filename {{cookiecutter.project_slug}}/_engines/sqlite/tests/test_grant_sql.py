import pytest
from django.core.management import CommandError, call_command


def test_there_are_no_users_to_grant_anything_to() -> None:
    with pytest.raises(CommandError, match="files and know no users"):
        call_command("grant_sql")
