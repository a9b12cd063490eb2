"""Making a tenant's place asks the server several times, and connects to it once."""

import psycopg
import pytest
from django.db import connections

from tenants.places import place_exists

pytestmark = [pytest.mark.django_db, pytest.mark.no_tenant]


def test_who_asks_again_whether_a_place_is_there_needs_no_new_session(
    places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, other = places
    assert not place_exists(new)
    monkeypatch.delattr(psycopg, "connect")

    assert not place_exists(new)
    assert not place_exists(other)
    assert connections[new].connection is None
