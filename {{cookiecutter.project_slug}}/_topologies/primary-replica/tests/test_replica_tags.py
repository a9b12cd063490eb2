"""Error trackers and log records are told which server the reads go to, and why."""

import pytest
from django.conf import settings
from django.db import transaction

from dbrouting.pinning import pin_to_primary, unit_of_work, use_primary
from dbrouting.replicas import primary_alias
from dbrouting.tags import current_tags


def test_the_replica_of_the_unit_is_named_as_long_as_it_is_read() -> None:
    with unit_of_work():
        before = [current_tags() for _ in range(5)]
        pin_to_primary()
        after = current_tags()

    assert before == [before[0]] * 5
    assert before[0]["database.alias"] in settings.REPLICA_DATABASES
    assert before[0]["database.pinned"] == "no"
    assert after == {"database.alias": primary_alias(), "database.pinned": "yes"}


@pytest.mark.django_db(transaction=True)
def test_a_block_and_a_transaction_read_the_primary() -> None:
    with use_primary():
        assert current_tags() == {"database.alias": primary_alias(), "database.pinned": "yes"}
    with transaction.atomic(using=primary_alias()):
        assert current_tags() == {"database.alias": primary_alias(), "database.pinned": "no"}
