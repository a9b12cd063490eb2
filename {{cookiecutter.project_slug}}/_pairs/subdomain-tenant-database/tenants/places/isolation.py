"""How tenants' places are made and copied where each is a database."""

from tenants.places.engine import Databases
from tenants.places.kinds import PlaceKind


def kind_of_place() -> PlaceKind:
    return Databases()
