"""`copy_app` refuses what would lose or mix rows; nothing is written then."""

import pytest
from django.core.management import CommandError, call_command

from orders.factories import OrderFactory
from orders.models import Order


def test_an_app_that_lives_there_is_to_be_mapped_first() -> None:
    with pytest.raises(CommandError, match=r"orders lives on 'orders_db'.*DATABASE_APPS_MAPPING"):
        call_command("copy_app", "orders", source="orders_db")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(CommandError, match="No database is called 'nowhere'"):
        call_command("copy_app", "orders", source="nowhere")
    with pytest.raises(CommandError, match="No installed app has the label 'nothing'"):
        call_command("copy_app", "nothing", source="default")


@pytest.mark.django_db
def test_rows_are_not_mixed_with_others() -> None:
    order = OrderFactory.create()

    with pytest.raises(CommandError, match="orders_order on 'orders_db' has rows already"):
        call_command("copy_app", "orders", source="default")

    assert Order.objects.get() == order


@pytest.mark.django_db
@pytest.mark.parametrize("app_label", ["orders", "catalogue"])
def test_a_database_without_the_tables_is_named(app_label: str) -> None:
    with pytest.raises(CommandError, match=rf"{app_label} can't be copied from 'auth_db'.*\n.*manage.py migrate"):
        call_command("copy_app", app_label, source="auth_db")
