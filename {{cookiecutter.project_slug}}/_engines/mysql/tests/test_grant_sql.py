"""The script is text here; what it does on a server is for an administrator to run."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections

from dbrouting.aliases import apps_on, usable_aliases
from dbrouting.grants import Grant, Roles
from dbrouting.privileges import literal, script
from dbrouting.server_users import pattern

pytestmark = pytest.mark.django_db
ALIASES = [alias for alias in usable_aliases() if apps_on(alias)]


def printed(*arguments: str) -> str:
    output = StringIO()
    call_command("grant_sql", *arguments, stdout=output)
    return output.getvalue()


def granted(name: str, migrator: str = "owner") -> str:
    return "".join(script([Grant(name, Roles("site", migrator, ("reports",)), "DATABASE_URL", "db.internal:3306")]))


def test_every_database_is_in_it_and_no_password() -> None:
    text = printed()

    for alias in ALIASES:
        config = connections.settings[alias]
        assert f" ON {pattern(config['NAME']).replace('%%', '%')}.* TO `{config['USER']}_migrator`@`%`;" in text
        assert f"'{config['PASSWORD']}'" not in text
        assert f"QUOTE(@{config['USER']}_migrator_password)" in text


def test_one_database_may_be_asked_for() -> None:
    text = printed("--database", ALIASES[0])

    assert f"-- '{ALIASES[0]}': the database " in text
    assert text.count("CREATE DATABASE") == 1


def test_its_first_lines_say_how_to_run_it() -> None:
    assert "mysql --host=db.internal --port=3306 " in granted("shop").partition("\nSET")[0]


def test_a_beginning_of_names_is_a_pattern_and_no_database() -> None:
    text = granted("shop_*")

    assert "GRANT SELECT ON `shop\\_%`.* TO `reports`@`%`;\n" in text
    assert "CREATE DATABASE" not in text


def test_a_name_is_quoted() -> None:
    assert literal("o'hara\\") == "'o''hara\\\\'"
    text = granted("a`b", migrator="o'h`ara")
    assert "CREATE DATABASE IF NOT EXISTS `a``b`" in text
    assert "ON `a``b`.* TO `o'h``ara`@`%`;" in text
    assert "-- the database 'a\\n; DROP' on " in granted("a\n; DROP")  # a line of its own would be a statement
