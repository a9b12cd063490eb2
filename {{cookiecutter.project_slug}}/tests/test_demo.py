"""The demo data: complete after one run, unchanged by the next."""

from io import StringIO
from unittest.mock import patch

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, router
from django.db.models import Model
from django.test import Client

from accounts.models import User
from catalogue.models import Product
from demo.data import STAFF_PASSWORD, STAFF_USERNAME
from demo.seeding import MODELS, STEPS, ensure_staff_user, seed

pytestmark = pytest.mark.django_db


@pytest.fixture
def _debug(settings: LazySettings) -> None:
    settings.DEBUG = True


def count_rows() -> list[int]:
    return [model._default_manager.count() for model in MODELS]


@pytest.mark.usefixtures("_debug")
def test_seeding_twice_changes_nothing() -> None:
    first = seed()
    rows = count_rows()
    second = seed()

    assert count_rows() == rows == [counts.created for counts in first.values()]
    assert all(counts == (0, there) for counts, there in zip(second.values(), rows, strict=True))


def test_seeding_leaves_edited_rows_alone() -> None:
    seed()
    Product.objects.filter(slug="sencha-100g").update(stock=1)
    seed()

    assert Product.objects.get(slug="sencha-100g").stock == 1


@pytest.mark.parametrize("model", MODELS)
def test_seeded_rows_are_where_the_router_writes_them(model: type[Model]) -> None:
    seed()

    assert model._default_manager.using(router.db_for_write(model)).exists()


def test_progress_reaches_the_announced_number_of_steps() -> None:
    steps: list[None] = []

    seed(lambda: steps.append(None))

    assert len(steps) == STEPS


def test_staff_user_is_not_made_without_debug() -> None:
    seed()

    assert ensure_staff_user() is None
    assert not User.objects.filter(is_staff=True).exists()


@pytest.mark.usefixtures("_debug")
def test_staff_user_can_open_the_admin_and_has_orders(site_client: Client) -> None:
    seed()

    credentials = ensure_staff_user()

    assert credentials == (STAFF_USERNAME, STAFF_PASSWORD)
    assert site_client.login(username=credentials[0], password=credentials[1])
    assert site_client.get("/admin/").status_code == 200
    assert "Ethiopia filter roast" in site_client.get("/orders/").content.decode()


@pytest.mark.usefixtures("_debug")
def test_password_that_was_changed_is_neither_told_nor_set_back() -> None:
    ensure_staff_user()
    user = User.objects.get(username=STAFF_USERNAME)
    user.set_password("my own")
    user.save()

    assert ensure_staff_user() is None
    assert User.objects.get(username=STAFF_USERNAME).check_password("my own")


def test_command_says_what_to_do_about_missing_tables() -> None:
    failure = OperationalError("no such table: orders_order")

    with (
        patch("demo.management.commands.seed_demo.seed", side_effect=failure),
        pytest.raises(CommandError, match=r"python manage\.py migrate"),
    ):
        call_command("seed_demo")


@pytest.mark.usefixtures("_debug")
def test_command_reports_each_kind_and_the_credentials(capfd: pytest.CaptureFixture[str]) -> None:
    output = StringIO()

    call_command("seed_demo", stdout=output)

    assert "products: 16 created, 0 already there" in output.getvalue()
    assert f"log in as {STAFF_USERNAME}, password {STAFF_PASSWORD}" in output.getvalue()
    assert capfd.readouterr().err == ""
