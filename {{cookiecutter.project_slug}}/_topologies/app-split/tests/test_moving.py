"""`move_app` on two databases made for it: what was there arrives, once, and nothing is lost on the way."""

import builtins
import datetime
import json
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.migrations.recorder import MigrationRecorder
from django.db.transaction import atomic, set_rollback
from django.test.utils import isolate_apps
from other_settings import fresh_url

from billing.models import Invoice, Payment
from config.app_mapping import VARIABLE, apps_switched_by_environment
from config.databases import DATABASE_APPS_MAPPING
from config.env import from_url
from dbrouting.aliases import lent, usable_aliases
from dbrouting.inspection.findings import Finding
from dbrouting.inspection.inspector import Inspector
from dbrouting.mapping import complete
from dbrouting.moving import blocking, copying, following, leftovers, preparing, steps, under_way
from dbrouting.moving.engines import Engine
from dbrouting.moving.errors import MoveError
from dbrouting.moving.ledger import Ledger, Line, Step
from dbrouting.moving.move import Move
from dbrouting.moving.ranges import Range, Table
from dbrouting.moving.slots import Sum
from dbrouting.moving.under_way import moves_under_way
from dbrouting.moving.verifying import changed_since
from dbrouting.provisioning import create_database, database_exists, drop_database, migration_lock
from dbrouting.targets import get_targets
from outbox import receipts
from outbox.aliases import has_tables
from outbox.models import Message, Receipt

OLD, NEW = "old_db", "new_db"
TABLES = {"billing_invoice", "billing_payment"}
# What somebody is told who writes to blocked tables.
REFUSED = r"billing is being moved|not (updatable|insertable)"


class KilledError(BaseException):
    """What ends a run without any of its code noticing, but for what a database would roll back."""


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any
) -> Iterator[dict[str, Any]]:
    """Two databases, empty: configurations by alias."""
    folder = tmp_path_factory.mktemp("moving")
    configs = {alias: complete(from_url(alias, "", fresh_url("orders_db", alias, folder))) for alias in (OLD, NEW)}
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        for config in configs.values():
            connection = connections[stack.enter_context(lent(config))]
            drop_database(connection)
            create_database(connection)
            stack.callback(drop_database, connection)
        yield configs


@pytest.fixture
def switch(db: None, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Billing has rows on the old one; gives what maps it elsewhere. Afterwards both have no table of it.

    Both are found without being listed: a test's transactions are none of theirs.
    """

    def to(alias: str) -> None:
        monkeypatch.setattr("django.conf.settings.DATABASE_APPS_MAPPING", {**DATABASE_APPS_MAPPING, "billing": alias})

    monkeypatch.setattr(connections.settings, "_resolve", made.get)
    monkeypatch.setattr(connections.settings, "unlisted", lambda: made)
    to(OLD)
    make_tables(OLD)
    write_rows()
    yield to
    to(OLD)
    if Ledger(NEW, "billing").is_open():
        blocking.unblock(Move("billing", OLD, NEW))
        blocking.unblock_target(Move("billing", OLD, NEW))
    for alias in made:
        remove_tables(alias)
        connections[alias].close()
        del connections[alias]


def write_rows() -> None:
    """The last key that is given out is not the last that is there."""
    Invoice.objects.using(OLD).bulk_create(
        Invoice(order_id=number, customer_id=number % 2 or None, amount=Decimal(number)) for number in range(1, 9)
    )
    keys = Invoice.objects.using(OLD).order_by("pk").values_list("pk", flat=True)
    Payment.objects.using(OLD).bulk_create(Payment(invoice_id=key, amount=Decimal("0.10")) for key in keys[:5])
    Invoice.objects.using(OLD).filter(pk=keys[7]).delete()


def make_tables(alias: str) -> None:
    """As `migrate` would, which takes longer than most tests."""
    with connections[alias].schema_editor() as editor:
        editor.create_model(Invoice)
        editor.create_model(Payment)
    MigrationRecorder(connections[alias]).ensure_schema()
    MigrationRecorder(connections[alias]).record_applied("billing", "0001_initial")


def remove_tables(alias: str) -> None:
    connection = connections[alias]
    present = connection.introspection.table_names()
    for model in (Payment, Invoice, Line):
        if model._meta.db_table in present:
            with connection.schema_editor() as editor:
                editor.delete_model(model)
    recorder = MigrationRecorder(connection)
    if recorder.has_table():
        recorder.migration_qs.filter(app="billing").delete()


def move_app(*words: str) -> str:
    output = StringIO()
    call_command("move_app", "billing", *words, stdout=output)
    return output.getvalue()


def content(alias: str) -> list[list[tuple[Any, ...]]]:
    return [list(model._base_manager.using(alias).order_by("pk").values_list()) for model in (Invoice, Payment)]


def tables(alias: str) -> set[str]:
    return TABLES.intersection(connections[alias].introspection.table_names(include_views=True))


def records_on(alias: str) -> list[str]:
    applied = MigrationRecorder(connections[alias]).applied_migrations()
    return [name for app, name in applied if app == "billing"]


def test_an_app_is_moved_with_all_its_rows_and_the_old_tables_go_last(switch: Callable[[str], None]) -> None:
    before = content(OLD)
    last = max(key for key, *_ in before[0]) + 1

    told = move_app("--to", NEW, "--batch-size=2")

    assert content(OLD) == content(NEW) == before
    assert "outbox_message" in connections[NEW].introspection.table_names()  # it writes in the app's transactions
    assert f"DATABASE_APPS_MAPPING=billing={NEW}" in told
    switch(NEW)
    assert "--drop-source" in move_app()
    assert f"billing is on '{NEW}' alone" in move_app("--drop-source", "--no-input")
    assert content(NEW) == before
    assert tables(OLD) == set()
    assert Invoice.objects.using(NEW).create(order_id=1, amount=1).pk > last
    assert Line._meta.db_table not in connections[NEW].introspection.table_names()


WRITES: dict[str, Callable[[], object]] = {
    "insert": lambda: Invoice.objects.using(OLD).create(order_id=1, amount=1),
    "update": lambda: Invoice.objects.using(OLD).update(amount=0),
    "delete": lambda: Payment.objects.using(OLD).all().delete(),
    "bulk": lambda: Invoice.objects.using(OLD).bulk_create([Invoice(order_id=1, amount=1)], ignore_conflicts=True),
}


def test_the_old_tables_refuse_writes_and_can_be_read(switch: Callable[[str], None]) -> None:
    before = content(OLD)
    move_app("--to", NEW)

    for write in WRITES.values():
        with pytest.raises(DatabaseError, match=REFUSED):
            write()

    assert content(OLD) == before


def test_giving_up_leaves_the_old_database_as_it_was(switch: Callable[[str], None]) -> None:
    before = content(OLD)
    records = records_on(NEW)
    move_app("--to", NEW)

    told = move_app("--abort")

    assert f"billing is on '{OLD}' as before" in told
    for write in WRITES.values():
        write()
    assert before != content(OLD)
    assert tables(NEW) == set()
    assert records_on(NEW) == records


def test_giving_up_leaves_the_new_databases_records_as_they_were(switch: Callable[[str], None]) -> None:
    MigrationRecorder(connections[NEW]).record_applied("billing", "0001_initial")
    move_app("--to", NEW)

    move_app("--abort")

    assert records_on(NEW) == ["0001_initial"]


def test_a_plan_names_content_types_that_have_lost_their_model(switch: Callable[[str], None]) -> None:
    ContentType.objects.create(app_label="billing", model="reminder")

    assert "Content types without a model: reminder." in move_app("--to", NEW, "--dry-run")


@isolate_apps("accounts")
def test_a_plan_names_generic_foreign_keys_that_may_point_to_the_app(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Label(models.Model):
        content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+")
        object_id = models.BigIntegerField()
        labelled = GenericForeignKey()

        class Meta:
            app_label = "accounts"

        def __str__(self) -> str:
            return f"Label {self.pk}"

    monkeypatch.setattr(leftovers, "apps", Mock(wraps=apps, get_models=lambda: [Label, Invoice]))

    assert list(leftovers.remarks(Move("billing", OLD, NEW)))[-1].endswith("in one database: accounts.Label.labelled.")


@pytest.fixture
def outbox() -> Iterator[None]:
    with connections[OLD].schema_editor() as editor:
        for model in (Message, Receipt):
            editor.create_model(model)
    yield
    with connections[OLD].schema_editor() as editor:
        for model in (Message, Receipt):
            editor.delete_model(model)


def test_a_plan_tells_of_messages_that_wait_where_the_app_is(switch: Callable[[str], None], outbox: None) -> None:
    Message.objects.using(OLD).create(handler="billing.refund", payload="{}")

    assert f"Messages wait in the outbox of '{OLD}': 1." in move_app("--to", NEW, "--dry-run")


def test_what_was_handled_on_the_old_side_is_known_on_the_new_one(
    switch: Callable[[str], None], outbox: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what nobody can ask for any more there may be millions."""
    monkeypatch.setattr(receipts, "outboxes", lambda: [OLD])
    receipt, _of_no_message = (Receipt.objects.using(OLD).create(key=uuid.uuid4()) for _ in range(2))
    Message.objects.using(OLD).create(key=receipt.key, handler="billing.refund", payload="{}")

    move_app("--to", NEW)

    assert list(Receipt.objects.using(NEW)) == [receipt]


def test_a_plan_changes_nothing(switch: Callable[[str], None]) -> None:
    plan = json.loads(move_app("--to", NEW, "--dry-run", "--json"))

    assert {table["table"]: table["rows"] for table in plan["tables"]} == {"billing_invoice": 7, "billing_payment": 5}
    assert plan["problems"] == []
    assert any("permissions" in remark for remark in plan["remarks"])
    assert tables(NEW) == set()
    WRITES["insert"]()


def test_a_plan_names_what_leads_out_of_the_app(switch: Callable[[str], None]) -> None:
    apart = json.loads(move_app("--to", NEW, "--dry-run", "--json"))["relations"]
    together = json.loads(move_app("--to", "orders_db", "--dry-run", "--json"))["relations"]

    assert "billing.Invoice.order -> orders.Order: leads from 'new_db' to 'orders_db' then, as it may." in apart
    assert "billing.Invoice.order -> orders.Order: both are on 'orders_db' then." in together
    assert not [line for line in apart if "billing.Payment.invoice" in line]


def test_a_plan_says_what_to_write_in_place_of_what_breaks(switch: Callable[[str], None]) -> None:
    output = StringIO()

    with pytest.raises(CommandError, match="accounts can't be moved"):
        call_command("move_app", "accounts", "--to", "orders_db", "--dry-run", stdout=output)

    assert "admin.LogEntry.user -> accounts.User: breaks. Use CrossDatabaseForeignKey; deploy" in output.getvalue()


def test_what_is_written_while_rows_are_copied_arrives(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_meanwhile(move: Move) -> None:
        first, second, third, *_ = Invoice.objects.using(OLD).order_by("pk")
        Payment.objects.using(OLD).filter(invoice=first).delete()
        Invoice.objects.using(OLD).filter(pk=first.pk).delete()
        Invoice.objects.using(OLD).filter(pk=second.pk).update(amount=99)
        new = Invoice.objects.using(OLD).create(order_id=99, amount=1)
        Payment.objects.using(OLD).filter(invoice=third).update(invoice=new)
        steps.index(move)

    monkeypatch.setitem(steps.WORK, Step.INDEXED, write_meanwhile)
    move_app("--to", NEW, "--batch-size=2")

    assert content(OLD) == content(NEW)
    assert Invoice.objects.using(NEW).filter(order_id=99).exists()


def test_only_ranges_that_may_have_changed_are_compared_after_the_block(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def follow(move: Move) -> None:
        for table in move.tables():
            for span in move.ledger.ranges(table.name):
                assert is_same(move, table, span)
        Invoice.objects.using(OLD).filter(pk=Invoice.objects.using(OLD).latest("pk").pk).update(amount=99)
        move.ledger.distrust("billing_invoice", [3])

    def is_same(move: Move, table: Table, span: Range) -> bool:
        compared.append((span.table, span.number))
        return same(move, table, span)

    same = copying.is_same
    monkeypatch.setattr(steps, "follow", follow)
    monkeypatch.setattr(steps, "settle", lambda move: compared.clear())
    monkeypatch.setattr(copying, "is_same", is_same)
    move_app("--to", NEW, "--batch-size=2")

    assert set(compared) == {("billing_invoice", 3)}
    assert content(OLD) == content(NEW)


@pytest.mark.parametrize(
    ("on_the_new_side", "digest"),
    [({1: Sum(1, 11)}, "3 31"), ({1: Sum(2, 10)}, ""), ({}, ""), ({1: Sum(1, 11), 2: Sum(1, 5)}, "3 31")],
    ids=["as on the old one", "others", "none", "more in another range"],
)
def test_a_range_is_known_to_be_the_same_as_long_as_the_rows_are_that_were_copied_again(
    switch: Callable[[str], None], on_the_new_side: dict[int, Sum], digest: str
) -> None:
    move = Move("billing", OLD, NEW)
    move.ledger.open()
    for number in range(3):
        move.ledger.add_range(Range("entries", number, None, None, rows=3, digest="3 30"))

    following.add_up(move, "entries", {1: Sum(1, 10)}, on_the_new_side, {1: Sum(1, 11)})

    untouched, touched, _another = move.ledger.ranges("entries")
    assert (untouched.digest, touched.digest) == ("3 30", digest)
    move.ledger.close()


def test_without_somebody_who_tells_what_was_written_all_ranges_are_compared_after_the_block(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that an earlier run has compared: nobody knows what happened since."""
    monkeypatch.setattr(following, "why_not_followed", lambda move: "nobody tells")
    with monkeypatch.context() as patch:
        patch.setattr(steps, "count_on", Mock(side_effect=KilledError))
        with pytest.raises(KilledError):
            move_app("--to", NEW, "--batch-size=2")
    Payment.objects.using(NEW).update(amount=99)
    move_app()

    assert content(OLD) == content(NEW)


@pytest.mark.parametrize(
    ("reason", "said"),
    [("", "refused for seconds, however many"), ("no slot is left", "all rows on both sides, for no slot is left.")],
)
def test_a_plan_says_for_how_long_writes_will_be_refused(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, reason: str, said: str
) -> None:
    monkeypatch.setattr(following, "why_not_followed", lambda move: reason)

    assert said in move_app("--to", NEW, "--dry-run")


def test_writes_are_not_followed_where_the_map_has_changed_already(switch: Callable[[str], None]) -> None:
    """They are refused from the beginning."""
    switch(NEW)

    assert "map has billing on 'new_db' already" in following.why_not_followed(Move("billing", OLD, NEW))


def test_a_run_that_is_interrupted_goes_on_where_it_was(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(OLD)

    def killed(move: Move) -> None:
        raise KilledError

    for step in list(steps.WORK):
        with monkeypatch.context() as patch:
            patch.setitem(steps.WORK, step, killed)
            with pytest.raises(KilledError):
                move_app("--to", NEW, "--batch-size=2")
    told = move_app()

    assert "Both sides have the same rows" in told
    assert content(OLD) == content(NEW) == before


def test_a_range_that_was_interrupted_is_neither_lost_nor_doubled(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    update_range = Ledger.update_range

    def killed(ledger: Ledger, span: Any) -> None:
        update_range(ledger, span)
        if span.number == 1:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "update_range", killed)
        with pytest.raises(KilledError):
            move_app("--to", NEW, "--batch-size=2")
    Invoice.objects.using(OLD).update(amount=7)
    move_app()

    assert content(OLD) == content(NEW)


def test_a_range_that_a_killed_run_began_is_copied_before_writes_are_refused(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though others after it were copied: jobs come to the end of theirs in any order."""
    copy_early = copying.copy_early

    def all_but_the_first(move: Move, table: Table, span: Range) -> None:
        if span.number == 2:
            raise KilledError
        if span.number:
            copy_early(move, table, span)

    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy_early", all_but_the_first)
        with pytest.raises(KilledError):
            move_app("--to", NEW, "--batch-size=2", "--jobs=1")
    with monkeypatch.context() as patch:
        patch.setitem(steps.WORK, Step.BLOCKED, Mock(side_effect=KilledError))
        with pytest.raises(KilledError):
            move_app()

    assert [span.rows for span in Ledger(NEW, "billing").ranges("billing_invoice")] == [2, 2, 2, 1]
    move_app()
    assert content(OLD) == content(NEW)


def test_a_range_that_waits_is_copied_once_writes_are_refused(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that clashed with a unique value."""
    copy_early = copying.copy_early

    def all_but_one(move: Move, table: Table, span: Range) -> None:
        if span.number != 1:
            copy_early(move, table, span)

    monkeypatch.setattr(copying, "copy_early", all_but_one)
    move_app("--to", NEW, "--batch-size=2")

    assert content(OLD) == content(NEW)


def test_tables_that_a_killed_run_left_are_made_anew(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "shed", Mock(side_effect=KilledError))
        with pytest.raises(KilledError):
            move_app("--to", NEW)
    assert tables(NEW) == TABLES
    move_app()

    assert content(OLD) == content(NEW)


def test_migrations_run_that_are_recorded_where_the_tables_are_not(switch: Callable[[str], None]) -> None:
    """As every `migrate` records those of all apps."""
    MigrationRecorder(connections[NEW]).record_applied("billing", "0001_initial")

    told = move_app("--to", NEW)

    assert "The migrations of billing will run on 'new_db', which has none of its tables" in told
    assert content(OLD) == content(NEW)


def test_the_outbox_is_made_where_it_is_recorded_without_its_tables(switch: Callable[[str], None]) -> None:
    """As by a `migrate` of a database that no app lived on."""
    connection = connections[NEW]
    present = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in (Message, Receipt):
            if model._meta.db_table in present:
                editor.delete_model(model)
    MigrationRecorder(connection).ensure_schema()
    MigrationRecorder(connection).record_applied("outbox", "0001_initial")

    move_app("--to", NEW)

    assert has_tables(NEW)


def test_rows_of_an_app_that_is_mapped_already_are_fetched(switch: Callable[[str], None]) -> None:
    before = content(OLD)
    switch(NEW)
    make_tables(NEW)

    told = move_app("--to", NEW, "--from", OLD)

    assert "Now switch" not in told
    assert content(NEW) == before
    move_app("--drop-source", "--no-input")
    assert tables(OLD) == set()


def test_rows_that_the_application_writes_to_the_new_tables_are_not_overwritten(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(NEW)
    make_tables(NEW)

    def write_meanwhile(move: Move) -> None:
        Invoice.objects.using(NEW).update(amount=99)
        steps.index(move)

    monkeypatch.setitem(steps.WORK, Step.INDEXED, write_meanwhile)

    with pytest.raises(CommandError, match=r"somebody writes there.*Map it to 'old_db' again"):
        move_app("--to", NEW, "--from", OLD)
    assert set(Invoice.objects.using(NEW).values_list("amount", flat=True)) == {99}


@isolate_apps("billing")
def test_values_of_all_types_and_keys_of_all_kinds_arrive(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tables_of_all_types(monkeypatch) as made:
        rows = rows_of_all_types(made)

        steps.move_rows(Move("billing", OLD, NEW, size_of_range=2), lambda message: None)

        for model in made:
            assert list(model._base_manager.using(NEW).order_by("pk").values_list()) == rows[model]
            assert rows[model]


@isolate_apps("billing")
def test_rows_that_swapped_a_value_are_not_the_same(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tables_of_all_types(monkeypatch) as made:
        rows_of_all_types(made)
        move = Move("billing", OLD, NEW)
        steps.move_rows(move, lambda message: None)
        samples = made[0]._base_manager.using(NEW)
        one, other = samples.get(text=""), samples.get(text=None)

        for name in [field.name for field in made[0]._meta.fields if not field.primary_key]:
            with atomic(using=NEW):
                samples.filter(pk=one.pk).update(**{name: getattr(other, name)})
                samples.filter(pk=other.pk).update(**{name: getattr(one, name)})
                assert changed_since(move, move.new), name
                set_rollback(True, using=NEW)
        assert not changed_since(move, move.new)


@pytest.mark.parametrize(("column", "text", "other"), [("text", "acme", "Acme"), ("data", "1.0", "1.00")])
@isolate_apps("billing")
def test_values_that_are_equal_and_written_otherwise_are_not_the_same(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, column: str, text: str, other: str
) -> None:
    """Which of them are equal is the engine's affair; MySQL writes equal numbers in JSON alike."""
    with tables_of_all_types(monkeypatch) as made:
        rows_of_all_types(made)
        move = Move("billing", OLD, NEW)
        before = written(move.old, column, text)
        steps.move_rows(move, lambda message: None)
        assert changed_since(move, move.new) == []

        is_other = written(move.new, column, other) != before

        assert bool(changed_since(move, move.new)) == is_other
        assert is_other or column == "data"


def written(connection: BaseDatabaseWrapper, column: str, text: str) -> list[tuple[Any, ...]]:
    """What a column says now that ``text`` was written to it."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE moving_sample SET {column} = %s", [text])
        cursor.execute(f"SELECT {column} FROM moving_sample")
        return list(cursor.fetchall())


@contextmanager
def tables_of_all_types(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[models.Model]]]:
    """On both sides, and empty, in place of billing's."""
    made = models_of_all_types()
    monkeypatch.setattr(Move, "models", made)
    for alias in (OLD, NEW):
        with connections[alias].schema_editor() as editor:
            for model in made[:-1]:
                editor.create_model(model)
    try:
        yield made
    finally:
        blocking.unblock(Move("billing", OLD, NEW))
        for alias in (OLD, NEW):
            with connections[alias].schema_editor() as editor:
                for model in reversed(made[:-1]):
                    editor.delete_model(model)


def models_of_all_types() -> list[type[models.Model]]:
    class Sample(models.Model):
        key = models.UUIDField(primary_key=True, default=uuid.uuid4)
        text = models.TextField(null=True)  # noqa: DJ001  NULL must not come as an empty text
        number = models.FloatField()
        price = models.DecimalField(max_digits=20, decimal_places=10)
        flag = models.BooleanField(null=True)
        blob = models.BinaryField()
        data = models.JSONField()
        day = models.DateField()
        hour = models.TimeField()
        moment = models.DateTimeField()
        length = models.DurationField()

        class Meta:
            app_label = "billing"
            db_table = "moving_sample"

        def __str__(self) -> str:
            return str(self.key)

    class Label(models.Model):
        name = models.CharField(max_length=50, primary_key=True)
        samples = models.ManyToManyField(Sample, db_table="moving_label_samples")

        class Meta:
            app_label = "billing"
            db_table = "moving_label"

        def __str__(self) -> str:
            return self.name

    return [Sample, Label, Label.samples.through]


def rows_of_all_types(made: list[type[models.Model]]) -> dict[type[models.Model], list[tuple[Any, ...]]]:
    sample, label, link = made
    texts = ["", None, 'it\'s; a \\ "test"\n\t', "äß漢🙂", "\\N", "%s"]
    for number, text in enumerate(texts):
        sample._base_manager.using(OLD).create(
            text=text,
            number=[0.1, -0.0, 1e300, 5e-300, 1 / 3, 123456789.123456789][number],
            price=Decimal("1234567890.0123456789") / (number + 1),
            flag=[True, False, None][number % 3],
            blob=bytes(range(number, 256)),
            data={"list": [1, None, text], "ü": 1.5},
            day=datetime.date(1, 1, 1) if number else datetime.date(9999, 12, 31),
            hour=datetime.time(23, 59, 59, 999999 - number),
            moment=datetime.datetime(2026, 3, 29, 1, 30, 0, number, tzinfo=datetime.UTC),
            length=datetime.timedelta(days=-number, microseconds=1),
        )
    keys = list(sample._base_manager.using(OLD).values_list("pk", flat=True))
    for name in ("b", "B1", "ä", "z", "a' b"):
        label._base_manager.using(OLD).create(pk=name)
        for key in keys[:3]:
            link._base_manager.using(OLD).create(label_id=name, sample_id=key)
    return {model: list(model._base_manager.using(OLD).order_by("pk").values_list()) for model in made}


def test_threads_leave_no_session_behind(switch: Callable[[str], None]) -> None:
    opened: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
        opened.append(connection)

    connection_created.connect(note)
    try:
        move_app("--to", NEW, "--batch-size=2")
    finally:
        connection_created.disconnect(note)

    assert opened
    assert not [one.alias for one in opened if one.connection and one is not connections[one.alias]]


def test_a_database_that_is_not_there_yet_is_made(switch: Callable[[str], None]) -> None:
    before = content(OLD)
    drop_database(connections[NEW])

    assert "it will be made" in move_app("--to", NEW, "--dry-run")
    assert not database_exists(connections[NEW])
    move_app("--to", NEW)

    assert content(NEW) == before


def test_a_move_is_found_where_its_ledger_is_and_in_no_copy_of_that(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is late may have a ledger that is long gone."""
    move_app("--to", NEW)
    copy = complete({**connections.settings[NEW], "TEST": {"MIRROR": NEW}})
    monkeypatch.setitem(connections.settings, "a_copy", copy)

    assert "a_copy" in usable_aliases()
    assert [move.target for move in moves_under_way()] == [NEW]


# What is refused, and what to do then


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "nowhere"], "No database is called 'nowhere'"),
        (["--to", OLD], r"billing lives on 'old_db' already.*--from ALIAS"),
        ([], r"billing is not being moved. To begin: .*--to ALIAS"),
        (["--to", NEW, "--abort"], "billing is not being moved to 'new_db'"),
        (["--to", NEW, "--json"], "--json prints a plan: add --dry-run"),
        (["--to", NEW, "--batch-size", "0"], "--batch-size: '0' is no number of 1 or more"),
        (["--to", NEW, "--jobs", "none"], "--jobs: 'none' is no number of 1 or more"),
        (["--to", NEW, "--from", "auth_db"], r"billing has no table billing_invoice, billing_payment on 'auth_db'"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(switch: Callable[[str], None], words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        move_app(*words)


def test_a_database_is_known_whatever_its_address(
    switch: Callable[[str], None], made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it has "rows already", and whoever removes them has none left."""
    host, path = made[OLD]["HOST"], Path(made[OLD]["NAME"])
    respelled = {"localhost": "127.1", "127.0.0.1": "127.1"}  # "localhost" may mean another way to get there
    way = {"HOST": respelled.get(host, host)} if host else {"NAME": f"{path.parent}/../{path.parent.name}/{path.name}"}
    monkeypatch.setattr(connections.settings, "_resolve", {"another": {**made[OLD], **way}, **made}.get)

    with pytest.raises(CommandError, match="'old_db' and 'another' are the same database"):
        move_app("--to", "another", "--dry-run")
    connections["another"].close()


def test_what_is_only_read_is_no_side_of_a_move(switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["auth_db"], "READ_ONLY", True)

    with pytest.raises(CommandError, match="'auth_db' is only read"):
        move_app("--to", "auth_db")


def test_the_outbox_is_everywhere_and_stays(switch: Callable[[str], None]) -> None:
    with pytest.raises(CommandError, match="outbox is in every database that holds tables"):
        call_command("move_app", "outbox", "--to", NEW)


def test_an_unknown_app_is_named() -> None:
    with pytest.raises(CommandError, match="No installed app has the label 'nothing'"):
        call_command("move_app", "nothing", "--to", NEW)


def test_rows_are_not_mixed_with_others(switch: Callable[[str], None]) -> None:
    make_tables(NEW)
    Invoice.objects.using(NEW).create(order_id=1, amount=1)

    with pytest.raises(CommandError, match="in the way: billing_invoice on 'new_db' has rows already"):
        move_app("--to", NEW)
    assert Invoice.objects.using(NEW).count() == 1


def test_an_app_without_migrations_is_in_the_way(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.MIGRATION_MODULES", {"billing": None})

    with pytest.raises(CommandError, match=r"in the way: .*makemigrations billing"):
        move_app("--to", NEW)
    assert not Ledger(NEW, "billing").is_open()


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_plan_that_cannot_be_carried_out_is_printed_and_fails(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("django.conf.settings.MIGRATION_MODULES", {"billing": None})
    output = StringIO()

    with pytest.raises(CommandError, match=r"in the way: .*makemigrations billing"):
        call_command("move_app", "billing", "--to", NEW, "--dry-run", *words, stdout=output)

    if words:
        assert len(json.loads(output.getvalue())["problems"]) == 1
    else:
        assert "billing_invoice: 7 rows" in output.getvalue()


def test_an_app_that_others_refer_to_stays(switch: Callable[[str], None]) -> None:
    """By foreign keys, or because Django has its contrib apps in one place."""
    with pytest.raises(CommandError) as refused:
        call_command("move_app", "accounts", "--to", "orders_db", "--dry-run", stdout=StringIO())

    told = str(refused.value)
    assert "in the way: admin.LogEntry.user relates admin, in 'auth_db', to accounts, in 'orders_db'" in told
    assert "in the way: auth lives on 'auth_db', accounts on 'orders_db'" in told


def test_tables_that_differ_are_named(switch: Callable[[str], None]) -> None:
    with connections[OLD].cursor() as cursor:
        cursor.execute("ALTER TABLE billing_payment ADD COLUMN forgotten integer")

    with pytest.raises(CommandError, match="billing_payment has other columns on 'old_db' than on 'new_db': forgotten"):
        move_app("--to", NEW)


def test_nothing_is_dropped_before_the_switch_and_nothing_given_up_after_it(switch: Callable[[str], None]) -> None:
    move_app("--to", NEW)

    with pytest.raises(CommandError, match=r"The map has billing on 'old_db', where its tables would be dropped"):
        move_app("--drop-source", "--no-input")
    switch(NEW)
    with pytest.raises(CommandError, match=r"The map has billing on 'new_db', where its tables would be removed"):
        move_app("--abort")
    assert tables(OLD) == tables(NEW) == TABLES


@pytest.mark.parametrize(("answer", "is_dropped"), [("billing", True), ("orders", False), ("yes", False), ("", False)])
def test_to_drop_the_old_tables_the_apps_name_is_typed(
    switch: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    is_dropped: bool,
) -> None:
    move_app("--to", NEW)
    switch(NEW)
    monkeypatch.setattr(sys, "stdin", Mock(isatty=lambda: True))
    monkeypatch.setattr(builtins, "input", lambda prompt: answer)

    with (
        nullcontext() if is_dropped else pytest.raises(CommandError, match="Nothing was dropped: that is not its name")
    ):
        move_app("--drop-source")

    assert tables(OLD) == (set() if is_dropped else TABLES)
    lost = capsys.readouterr().out
    assert re.search(r"billing_invoice on 'old_db': 7 rows, \d+ bytes", lost)
    assert "billing_payment on 'old_db': 5 rows" in lost


def test_nobody_is_asked_where_nobody_can_answer(switch: Callable[[str], None]) -> None:
    move_app("--to", NEW)
    switch(NEW)

    with pytest.raises(CommandError, match="--no-input"):
        move_app("--drop-source")
    assert tables(OLD) == TABLES


def test_what_was_written_to_the_new_tables_is_not_given_up(switch: Callable[[str], None]) -> None:
    move_app("--to", NEW)
    Invoice.objects.using(NEW).create(order_id=1, amount=1)

    with pytest.raises(CommandError, match=r"On 'new_db', rows were written since.*They would be lost"):
        move_app("--abort")
    assert tables(NEW) == TABLES
    Invoice.objects.using(NEW).create(order_id=2, amount=1)


def test_what_is_written_to_the_new_tables_while_they_are_given_up_is_refused(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process with the new map: it would go with them."""

    def write_meanwhile(move: Move, connection: BaseDatabaseWrapper) -> list[Range]:
        with pytest.raises(DatabaseError, match=REFUSED):
            Invoice.objects.using(NEW).create(order_id=1, amount=1)
        return changed_since(move, connection)

    move_app("--to", NEW)
    monkeypatch.setattr(steps, "changed_since", write_meanwhile)
    move_app("--abort")

    assert tables(NEW) == set()


def test_new_tables_that_were_there_before_are_given_up_empty_and_take_writes(switch: Callable[[str], None]) -> None:
    make_tables(NEW)
    move_app("--to", NEW)

    move_app("--abort")

    assert content(NEW) == [[], []]
    Invoice.objects.using(NEW).create(order_id=1, amount=1)


@pytest.mark.parametrize("words", [[], ["--drop-source", "--no-input"]])
def test_new_tables_that_a_killed_abort_has_blocked_take_writes_when_the_move_goes_on(
    switch: Callable[[str], None], words: list[str]
) -> None:
    move_app("--to", NEW)
    blocking.block_target(Move("billing", OLD, NEW))
    with pytest.raises(DatabaseError, match=REFUSED):
        Invoice.objects.using(NEW).create(order_id=1, amount=1)
    switch(NEW)

    move_app(*words)

    Invoice.objects.using(NEW).create(order_id=1, amount=1)


def test_old_tables_that_were_written_to_after_all_are_not_dropped(switch: Callable[[str], None]) -> None:
    move_app("--to", NEW)
    switch(NEW)
    blocking.unblock(Move("billing", OLD, NEW))
    Invoice.objects.using(OLD).update(amount=0)

    with pytest.raises(CommandError, match="aren't blocked any more"):
        move_app("--drop-source", "--no-input")
    blocking.block(Move("billing", OLD, NEW))
    with pytest.raises(CommandError, match=r"rows are others than those that were moved: billing_invoice, keys after"):
        move_app("--drop-source", "--no-input")
    assert tables(OLD) == TABLES


def test_a_move_to_another_database_meanwhile_is_refused(switch: Callable[[str], None]) -> None:
    move_app("--to", NEW)

    with pytest.raises(CommandError, match=r"being moved from 'old_db' to 'new_db'. Go on: .*\n.*--abort"):
        move_app("--to", "auth_db")


@pytest.mark.parametrize("alias", [OLD, NEW])
def test_whoever_comes_while_a_move_is_at_work_is_told_of_it(switch: Callable[[str], None], alias: str) -> None:
    """Another move, or a `migrate`."""
    move_app("--to", NEW)
    said = rf"On the database '{alias}' somebody is at work: the move of billing from 'old_db' to 'new_db', .*finished"

    with migration_lock(connections[alias].copy()):
        with pytest.raises(CommandError, match=said):
            move_app("--abort")
        with pytest.raises(CommandError, match=said), get_targets().lock(alias):
            pytest.fail("migrate would go on")


def test_a_move_waits_for_no_migrate(switch: Callable[[str], None]) -> None:
    with (
        migration_lock(connections[OLD].copy()),
        pytest.raises(CommandError, match="Another `migrate` is at work on the database 'old_db'"),
    ):
        move_app("--to", NEW)
    assert not Ledger(NEW, "billing").is_open()


def test_a_copy_of_the_new_database_has_no_move_of_its_own(
    switch: Callable[[str], None], made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby shows the ledger, too, and nothing can be written there."""
    options = {key: value for key, value in made[NEW]["OPTIONS"].items() if key != "transaction_mode"}
    found = {"copy": {**made[NEW], "READ_ONLY": True, "OPTIONS": options}, **made}
    monkeypatch.setattr(connections.settings, "_resolve", found.get)
    monkeypatch.setattr(connections.settings, "unlisted", lambda: found)

    move_app("--to", NEW)
    assert [move.target for move in under_way.moves_under_way()] == [NEW]
    move_app("--abort")

    assert tables(NEW) == set()


@pytest.mark.parametrize("alias", [OLD, NEW])
def test_tables_of_a_move_are_no_strays(switch: Callable[[str], None], alias: str) -> None:
    move_app("--to", NEW)

    [finding] = findings_on(alias)
    assert "the move of billing from 'old_db' to 'new_db', which is finished" in finding.what
    assert "python manage.py move_app billing --to new_db --abort" in finding.what
    assert finding.commands == ("python manage.py move_app billing --to new_db",)
    switch(NEW)
    [finding] = findings_on(alias)
    assert finding.commands == ("python manage.py move_app billing --to new_db --drop-source",)
    move_app("--drop-source", "--no-input")
    assert findings_on(alias) == []


@pytest.mark.parametrize("gone", [[Payment], [Payment, Invoice]])
def test_tables_that_a_move_has_yet_to_make_are_not_to_be_made_beside_it(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, gone: list[type[models.Model]]
) -> None:
    """Though the map has the app there already, and records its migrations."""
    monkeypatch.setitem(steps.WORK, Step.COPIED, Mock(side_effect=KilledError))
    with pytest.raises(KilledError):
        move_app("--to", NEW)
    with connections[NEW].schema_editor() as editor:
        for model in gone:
            editor.delete_model(model)
    switch(NEW)

    [finding] = (finding for finding in Inspector().inspect(NEW).findings if "billing" in finding.what)

    assert finding.commands == ("python manage.py move_app billing --to new_db",)


def findings_on(alias: str) -> list[Finding]:
    """About its tables."""
    found = Inspector().inspect(alias).findings
    return [finding for finding in found if "billing" in finding.what and "tables" in finding.what]


def test_somebody_who_writes_all_the_while_is_waited_for_and_then_named(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def refuse(*args: object) -> None:
        attempts.append(args)
        raise OperationalError("locked")

    monkeypatch.setattr(blocking, "PAUSE", 0)
    monkeypatch.setattr(blocking, "prepared", lambda connection: " (by 'half a transfer')")
    move = Move("billing", OLD, NEW)
    with pytest.raises(MoveError, match=r"billing on 'old_db' .* all the while: locked \(by 'half a transfer'\)"):
        blocking.patiently(move, move.old, refuse)
    assert len(attempts) == blocking.ATTEMPTS


def test_each_side_is_read_by_the_session_of_the_thread_that_reads(
    switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what is set in a transaction, so that values are written alike, would be set in another session."""
    engine = type(Move("billing", OLD, NEW).engine)
    digest = engine.digest

    def checked(self: Engine, connection: BaseDatabaseWrapper, table: Table, span: Range) -> str:
        assert connection is connections[connection.alias]
        return digest(self, connection, table, span)

    monkeypatch.setattr(engine, "digest", checked)
    move_app("--to", NEW, "--batch-size=2")

    assert content(OLD) == content(NEW)


def test_rows_that_arrive_changed_are_noticed(switch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "is_same", lambda move, table, span: False)

    with pytest.raises(CommandError, match=r"billing_invoice, keys after none up to the last: .* not those"):
        move_app("--to", NEW)
    assert not Ledger(NEW, "billing").step.is_before(Step.BLOCKED)


# The map in the environment


def test_the_environment_switches_single_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "billing=billing_db, orders = default,")

    assert apps_switched_by_environment() == {"billing": "billing_db", "orders": "default"}


@pytest.mark.parametrize("text", ["billing", "billing=", "=billing_db", "billing=a=b"])
def test_a_map_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)

    with pytest.raises(ImproperlyConfigured, match="must be pairs such as billing=billing_db"):
        apps_switched_by_environment()
