import pytest
from django.core.management import CommandError

from dbrouting.grants import Names, grant_on, grants_of_all
from dbrouting.replicas import primary_alias


def test_replicas_that_are_read_as_the_site_itself_get_a_reader_on_the_primary() -> None:
    (grant,) = grants_of_all(Names("site"), [])

    assert grant.alias == primary_alias()
    assert grant.roles.readers == ("site_reader",)


def test_nothing_is_granted_on_a_replica() -> None:
    with pytest.raises(CommandError, match=f"'replica1' holds no tables.* {primary_alias()!r}"):
        grant_on("replica1", Names("site"))
