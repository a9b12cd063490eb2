"""Django's commands beside replicas: what writes, or must have everything, is for the primary."""

import json

import pytest
from django.core.management import CommandError
from typed import typed

from catalogue.factories import ProductFactory
from dbrouting.management.commands.shell import Prompt
from dbrouting.pinning import current_unit, use_primary
from dbrouting.replicas import primary_alias, replica_weights
from dbrouting.targets import get_targets

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_a_dump_has_what_a_replica_does_not_have_yet(stale_replica: str) -> None:
    ProductFactory.create(slug="oolong")
    slugs = [row["fields"]["slug"] for row in json.loads(typed("dumpdata", "catalogue.product").out)]

    assert "oolong" in slugs


@pytest.mark.parametrize(
    "command", [("flush", "--no-input"), ("dumpdata",), ("loaddata", "any.json"), ("clearsessions",)]
)
def test_what_writes_or_would_be_empty_is_refused_on_a_replica(command: tuple[str, ...]) -> None:
    """Django dumps nothing from a replica, since no table may be made there, and says nothing either."""
    for replica in replica_weights():
        with pytest.raises(CommandError, match=f"on {replica}. Run it on: {primary_alias()}"):
            typed(*command, f"--database={replica}")


def test_the_prompt_says_where_the_next_read_goes() -> None:
    prompt = Prompt()

    assert str(prompt) == f"[reads {current_unit().replica}] >>> "
    with use_primary():
        assert str(prompt) == f"[{primary_alias()}] >>> "


def test_a_shell_says_which_databases_are_copies() -> None:
    held = dict(get_targets().holdings())

    assert {held[alias] for alias in replica_weights()} == {f"a copy of {primary_alias()}"}
    assert "catalogue" in held[primary_alias()]
