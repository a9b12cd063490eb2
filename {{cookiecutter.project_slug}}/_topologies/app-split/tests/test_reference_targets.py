"""References to all that can be referred to: fields of any type, proxies, parents, and by models that inherit them."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connections, models, transaction
from django.test.utils import isolate_apps

from dbrouting import references
from dbrouting.orphans import find_orphans
from dbrouting.references import (
    CrossDatabaseForeignKey,
    CrossDatabaseJoinError,
    CrossDatabaseOneToOneField,
    keys_without_row,
)
from outbox import cascades
from outbox.draining import drain
from outbox.models import Message

pytestmark = pytest.mark.django_db

HERE, THERE = "default", "orders_db"


class Current(models.Manager[Any]):
    """As of a project that archives rows."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(is_archived=False)


with isolate_apps("billing", "orders") as isolated:

    class Parcel(models.Model):
        code = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001  null is what there may be several of
        sent_at = models.DateTimeField(unique=True)
        weight = models.DecimalField(max_digits=20, decimal_places=10, unique=True)
        key = models.UUIDField(unique=True, default=uuid.uuid4)
        is_archived = models.BooleanField(default=False)
        objects = Current()

        class Meta:
            app_label = "orders"

        def __str__(self) -> str:
            return f"Parcel {self.pk}"

    class AnyParcel(Parcel):
        class Meta:
            app_label = "orders"
            proxy = True

    class Letter(Parcel):
        class Meta:
            app_label = "orders"

    class Stamp(models.Model):
        """Referred to as its proxy alone."""

        class Meta:
            app_label = "orders"

        def __str__(self) -> str:
            return f"Stamp {self.pk}"

    class AnyStamp(Stamp):
        class Meta:
            app_label = "orders"
            proxy = True

    class Fee(models.Model):
        by_code = CrossDatabaseForeignKey(Parcel, models.SET_NULL, null=True, to_field="code", related_name="+")
        by_time = CrossDatabaseForeignKey(Parcel, models.SET_NULL, null=True, to_field="sent_at", related_name="+")
        by_weight = CrossDatabaseForeignKey(Parcel, models.SET_NULL, null=True, to_field="weight", related_name="+")
        by_key = CrossDatabaseForeignKey(Parcel, models.SET_NULL, null=True, to_field="key", related_name="+")
        by_proxy = CrossDatabaseForeignKey(AnyParcel, models.SET_NULL, null=True, related_name="+")
        of_letter = CrossDatabaseForeignKey(Letter, models.SET_NULL, null=True, related_name="+")
        parcel = CrossDatabaseForeignKey(Parcel, models.SET_NULL, null=True, related_name="+")
        stamp = CrossDatabaseForeignKey(AnyStamp, models.SET_NULL, null=True, related_name="+")
        is_archived = models.BooleanField(default=False)
        objects = Current()

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return f"Fee {self.pk}"

    class Seal(models.Model):
        parcel = CrossDatabaseOneToOneField(Parcel, models.CASCADE, null=True, related_name="seal")

        class Meta:
            app_label = "billing"

        def __str__(self) -> str:
            return f"Seal {self.pk}"

    class Duty(Fee):
        class Meta:
            app_label = "billing"


TABLES: dict[str, tuple[type[models.Model], ...]] = {HERE: (Fee, Duty, Seal), THERE: (Parcel, Letter, Stamp)}
NAMES = ["by_code", "by_time", "by_weight", "by_key", "by_proxy", "of_letter", "parcel"]


@pytest.fixture(scope="module", autouse=True)
def _tables(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), ExitStack() as stack:
        for alias, made in TABLES.items():
            for model in made:
                with connections[alias].schema_editor() as editor:
                    editor.create_model(model)
                stack.callback(drop, alias, model)
        yield


def drop(alias: str, model: type[models.Model]) -> None:
    with connections[alias].schema_editor() as editor:
        editor.delete_model(model)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (references, cascades):
        monkeypatch.setattr(module, "apps", isolated)
    cascades.connect()


def rows(model: type[models.Model]) -> Any:
    return model._default_manager.all()


@pytest.fixture
def letter() -> Letter:
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    letter: Letter = rows(Letter).create(code="1'é", sent_at=now, weight=Decimal("1.2345678901"))
    return letter


def field_of(name: str) -> Any:
    return Fee._meta.get_field(name)


def refer(name: str, letter: Letter) -> Fee:
    """Saved by way of the object that the field refers to."""
    fee = Fee()
    setattr(fee, name, rows(field_of(name).remote_field.model).get(pk=letter.pk))
    fee.save()
    return fee


def follow() -> None:
    assert drain(THERE).failed == 0
    assert not Message.objects.using(THERE).exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_other_row_is_found(name: str, letter: Letter) -> None:
    fee = rows(Fee).get(pk=refer(name, letter).pk)

    assert getattr(fee, name).pk == letter.pk
    assert list(rows(Fee).filter(**{name: getattr(fee, name)})) == [fee]
    assert [getattr(one, name).pk for one in rows(Fee).prefetch_related(name)] == [letter.pk]
    assert find_orphans(field_of(name)).rows == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", [Parcel, AnyParcel, Letter])
def test_its_deletion_is_followed(name: str, model: type[models.Model], letter: Letter) -> None:
    fee = refer(name, letter)

    rows(model).filter(pk=letter.pk).delete()
    assert find_orphans(field_of(name)).rows == 1
    follow()

    assert getattr(rows(Fee).get(pk=fee.pk), field_of(name).attname) is None


@pytest.mark.parametrize("model", [Stamp, AnyStamp])
def test_the_deletion_of_what_is_referred_to_as_a_proxy_is_followed(model: type[models.Model]) -> None:
    Fee(stamp=rows(AnyStamp).create()).save()

    rows(model).delete()
    follow()

    assert rows(Fee).get().stamp is None


def test_rows_that_a_manager_hides_are_there(letter: Letter) -> None:
    """On both sides."""
    fee = refer("parcel", letter)
    for shown in (rows(Fee), rows(Parcel)):
        shown.update(is_archived=True)
    keys = Fee._base_manager.filter(pk=fee.pk).values_list("parcel_id", flat=True)
    assert find_orphans(field_of("parcel")).rows == 0

    Parcel._base_manager.get().delete()
    assert find_orphans(field_of("parcel")).rows == 1
    letter.save_base(force_insert=(Parcel,))
    rows(Parcel).update(is_archived=True)
    follow()
    assert keys.get() == letter.pk

    Parcel._base_manager.get().delete()
    follow()
    assert keys.get() is None


def test_a_row_without_a_value_to_refer_to_is_deleted(letter: Letter) -> None:
    """Nothing can refer to it by that field; not to be taken for a row whose value is the word None."""
    rows(Parcel).filter(pk=letter.pk).update(code=None)
    fee = rows(Fee).create(by_code_id="None")

    rows(Parcel).get().delete()
    follow()

    assert rows(Fee).get(pk=fee.pk).by_code_id == "None"


def test_a_reference_that_is_inherited_is_listed_and_followed_once(letter: Letter) -> None:
    duty = rows(Duty).create(parcel=letter)

    letter.delete()
    sent = [one.content["reference"] for one in Message.objects.using(THERE)]
    follow()

    fees = [f"billing.Fee.{name}" for name in [*NAMES, "stamp"]]
    assert sorted(map(str, references.references())) == sorted([*fees, "billing.Seal.parcel"])
    assert sent.count("billing.Fee.parcel") == 1
    assert rows(Duty).get(pk=duty.pk).parcel_id is None


def test_a_key_leads_to_whatever_row_the_database_takes_it_for(letter: Letter) -> None:
    """Which spellings are equal is a matter of types and collations; MySQL's default knows no case."""
    spelled = [str(letter.key).upper(), str(letter.code).upper(), str(letter.code)]
    fee = rows(Fee).create(by_code_id=spelled[1])
    is_there = rows(Parcel).filter(code=spelled[1]).exists()

    assert keys_without_row(field_of("by_key"), [str(uuid.UUID(int=1)), spelled[0]]) == [str(uuid.UUID(int=1))]
    assert keys_without_row(field_of("by_code"), spelled[1:]) == ([] if is_there else [spelled[1]])
    assert find_orphans(field_of("by_code"), fix=True).fixed == (0 if is_there else 1)
    assert rows(Fee).get(pk=fee.pk).by_code_id == (spelled[1] if is_there else None)


# One to one


def test_each_end_of_a_one_to_one_reference_has_the_other(letter: Letter) -> None:
    parcel = rows(Parcel).get()
    seal = Seal(parcel=parcel)
    seal.save()

    assert rows(Parcel).get().seal == seal
    assert rows(Seal).get().parcel == parcel
    assert [one.seal for one in rows(Parcel).prefetch_related("seal")] == [seal]


def test_it_can_be_assigned_at_the_other_end(letter: Letter) -> None:
    parcel, seal = rows(Parcel).get(), Seal()

    parcel.seal = seal
    seal.save()

    assert rows(Seal).get().parcel == parcel
    parcel.seal = None
    assert seal.parcel is None
    with pytest.raises(ValueError, match="must be a"):
        parcel.seal = parcel


def test_each_end_knows_the_other_before_either_is_saved() -> None:
    parcel: Any = Parcel()
    first, second = Seal(parcel=parcel), Seal()

    assert parcel.seal is first
    second.parcel = parcel
    assert parcel.seal is second
    second.parcel = None
    assert not hasattr(parcel, "seal")


def test_a_second_one_is_refused(letter: Letter) -> None:
    rows(Seal).create(parcel_id=letter.pk)

    with pytest.raises(IntegrityError), transaction.atomic(using=HERE):
        rows(Seal).create(parcel_id=letter.pk)


def test_it_is_not_joined_from_either_end() -> None:
    with pytest.raises(CrossDatabaseJoinError):
        list(rows(Parcel).select_related("seal"))
    with pytest.raises(CrossDatabaseJoinError):
        list(rows(Seal).filter(parcel__code="a"))


def test_its_rule_is_followed(letter: Letter) -> None:
    rows(Seal).create(parcel_id=letter.pk)

    letter.delete()
    follow()

    assert not rows(Seal).exists()


def test_it_is_declared_as_it_was() -> None:
    field: Any = Seal._meta.get_field("parcel")
    *_, path, _, kwargs = field.deconstruct()

    assert path == "dbrouting.references.CrossDatabaseOneToOneField"
    assert kwargs == {"to": "orders.parcel", "on_delete": models.CASCADE, "null": True, "related_name": "seal"}


def test_it_makes_no_child_of_another_databases_model() -> None:
    with pytest.raises(ValueError, match="can't be a parent_link"):
        CrossDatabaseOneToOneField(Parcel, models.CASCADE, parent_link=True)
