"""``show_routing`` and ``check_databases`` know replicas: which may be read, and that they are not migrated."""

from typing import Any

import pytest
from django.db import connections, transaction

from accounts.models import User
from catalogue.models import Product
from config import engine
from dbrouting.explaining import Decision, explain_rule
from dbrouting.inspection.inspector import Inspector
from dbrouting.pinning import use_primary
from dbrouting.replicas import primary_alias, replica_weights


def reads(model: type[User | Product]) -> set[tuple[str | None, str, str]]:
    return {facts(one) for one in explain_rule([model]) if one.operation == "read"}


def facts(decision: Decision) -> tuple[str | None, str, str]:
    return decision.alias, decision.reason, decision.when


def test_each_replica_may_be_read_until_something_is_written() -> None:
    by_weight = {(alias, "a replica, by weight", "") for alias in replica_weights()}

    assert reads(Product) == by_weight | {(primary_alias(), "pinned to the primary", "after a write")}


def test_what_must_be_fresh_is_read_on_the_primary() -> None:
    assert reads(User) == {(primary_alias(), "PRIMARY_ONLY_APPS", "")}


def test_a_pin_in_force_is_the_reason() -> None:
    with use_primary():
        assert reads(Product) == {(primary_alias(), "pinned to the primary", "")}


def test_without_replicas_the_primary_is_read(settings: Any) -> None:
    settings.REPLICA_DATABASES = {}

    assert (primary_alias(), "there is no replica", "") in reads(Product)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_the_reason() -> None:
    with transaction.atomic(using=primary_alias()):
        assert (primary_alias(), "a transaction is open on the primary", "") in reads(Product)


@pytest.mark.django_db
def test_a_replica_that_lacks_tables_is_an_error_and_migrating_it_is_not_proposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = next(iter(replica_weights()))
    monkeypatch.setattr(connections[replica].introspection, "table_names", lambda cursor: ["django_migrations"])

    [finding] = Inspector().inspect(replica).findings

    assert finding.severity == "error"
    assert "catalogue_product" in finding.what
    assert finding.commands == ()


@pytest.mark.django_db
def test_a_replica_like_its_primary_is_well() -> None:
    assert [Inspector().inspect(alias).findings for alias in replica_weights()] == [[] for _ in replica_weights()]


@pytest.mark.django_db
def test_a_replica_elsewhere_that_takes_writes_was_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = next(iter(replica_weights()))
    monkeypatch.setitem(connections[replica].settings_dict, "HOST", "promoted.example.com")
    monkeypatch.setattr(engine, "ASK_TAKES_WRITES", "SELECT 1")

    [finding] = Inspector().inspect(replica).findings

    assert (finding.severity, finding.what.startswith("The server takes writes")) == ("warning", True)


@pytest.mark.django_db
def test_a_replica_that_is_the_primary_itself_may_take_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a project that is tried out on one server."""
    monkeypatch.setattr(engine, "ASK_TAKES_WRITES", "SELECT 1")

    assert Inspector().inspect(next(iter(replica_weights()))).findings == []
