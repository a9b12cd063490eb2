"""What `grant_sql` is asked for, and what it refuses; the SQL differs from engine to engine."""

from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connections

from dbrouting.aliases import usable_aliases
from dbrouting.grants import Grant, Names, Roles, grant_on, on_one_server, password_variables, roles_of

SHOP: dict[str, Any] = {"USER": "shop", "VARIABLE": "DATABASE_URL"}


def grant(server: str) -> Grant:
    return Grant("shop", Roles("shop", "shop_migrator"), "DATABASE_URL", server)


def test_the_site_keeps_the_user_of_its_url() -> None:
    assert roles_of(SHOP, Names(), mirrors=[]) == Roles("shop", "shop_migrator")


def test_an_option_wins_over_the_url() -> None:
    assert roles_of(SHOP, Names("site", "owner", "reports"), mirrors=[]) == Roles("site", "owner", ("reports",))


def test_who_reads_a_mirror_as_the_site_itself_gets_a_user_that_only_reads() -> None:
    alias = usable_aliases()[0]
    same = {"USER": connections.settings[alias]["USER"], "VARIABLE": "DATABASE_URL"}

    assert roles_of(same, Names("site"), mirrors=[alias]).readers == ("site_reader",)
    assert roles_of({**same, "USER": "other"}, Names(reader="reports"), mirrors=[alias]).readers == ("reports",)


def test_two_roles_of_one_name_are_refused() -> None:
    with pytest.raises(CommandError, match="'shop', 'shop'"):
        roles_of(SHOP, Names(migrator="shop"), mirrors=[])


def test_a_url_without_a_user_is_refused() -> None:
    with pytest.raises(CommandError, match=r"DATABASE_URL names no user.*--application"):
        roles_of({**SHOP, "USER": ""}, Names(), mirrors=[])


def test_an_alias_that_is_not_there_is_refused() -> None:
    with pytest.raises(CommandError, match="No database is called 'nowhere'"):
        grant_on("nowhere", Names())


def test_a_script_is_for_one_server() -> None:
    grants = [grant("one:1"), grant("two:2")]

    with pytest.raises(CommandError, match=r"grant_sql --server one:1\n.*grant_sql --server two:2"):
        on_one_server(grants, None)
    with pytest.raises(CommandError, match=r"'three:3'.* one:1, two:2"):
        on_one_server(grants, "three:3")
    assert on_one_server(grants, "two:2") == grants[1:]


def test_no_two_roles_share_a_password_by_mistake() -> None:
    assert password_variables(["a-b", "a_b", "A b"]) == {
        "a-b": "a_b_password",
        "a_b": "a_b_password_",
        "A b": "a_b_password__",
    }
