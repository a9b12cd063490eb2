"""A session that is kept for the next request serves it in its own tenant's database, wherever the last one went."""

import pytest
from django.db import connections

from dbrouting.provisioning import create_database, name_of

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]


def test_who_left_the_database_by_use_does_not_take_the_next_one_along(places: tuple[str, str]) -> None:
    tenant, other = (connections[alias] for alias in places)
    create_database(tenant)
    create_database(other)
    with tenant.cursor() as cursor:
        cursor.execute(f"USE {name_of(other)}")
        cursor.execute("SELECT CONNECTION_ID()")
        session = cursor.fetchone()
    tenant.close()

    with tenant.cursor() as cursor:
        cursor.execute("SELECT DATABASE(), CONNECTION_ID()")
        assert cursor.fetchone() == (name_of(tenant), *session)
    tenant.close()
