"""The script is text here; what it does on a server is for an administrator to run."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from dbrouting.aliases import apps_on, usable_aliases
from dbrouting.grants import Grant, Roles
from dbrouting.privileges import quoted, script

pytestmark = pytest.mark.django_db
ALIASES = [alias for alias in usable_aliases() if apps_on(alias)]


def printed(*arguments: str) -> str:
    output = StringIO()
    call_command("grant_sql", *arguments, stdout=output)
    return output.getvalue()


def granted(name: str, migrator: str = "owner") -> str:
    return "".join(script([Grant(name, Roles("site", migrator, ("reports",)), "DATABASE_URL", "db.internal:5432")]))


def test_every_database_is_in_it_and_no_password() -> None:
    text = printed()

    for alias in ALIASES:
        config = connections.settings[alias]
        assert f"\\set name '{config['NAME']}'\n" in text
        assert f"PASSWORD '{config['PASSWORD']}'" not in text
        assert f":'{config['USER']}_migrator_password'" in text


def test_one_database_may_be_asked_for() -> None:
    text = printed("--database", ALIASES[0])

    assert f"-- '{ALIASES[0]}': the database " in text
    assert text.count("\\connect") == 1


def test_its_first_lines_say_how_to_run_it() -> None:
    assert "psql --no-psqlrc --host=db.internal --port=5432 " in granted("shop").partition("\n\\set")[0]


def test_only_a_migrator_of_databases_to_come_may_make_some() -> None:
    named, to_come = granted("shop"), granted("shop_*")

    assert 'ROLE :"role" CREATEDB' not in named
    assert named.count("NOCREATEDB") == to_come.count("NOCREATEDB") == 2  # the site and who reads
    assert to_come.index("\\set role 'owner'") < to_come.index("CREATEDB;") < to_come.index("\\set role 'reports'")
    assert "dbname=template1" in to_come


def test_a_name_reaches_psql_as_it_is() -> None:
    assert quoted("a'b\\c\nd:e\"f") == "'a''b\\\\c\\nd:e\"f'"
    assert "\\set name 'it''s'\n" in granted("it's")
    assert "\n\\! rm" not in granted("a\n\\! rm")


def test_a_name_that_postgresql_would_cut_is_refused() -> None:
    with pytest.raises(CommandError, match="a shorter one"):
        granted("shop", migrator="é" * 32)
