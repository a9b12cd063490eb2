"""How tenants' places are made and copied where each is a database."""

from tenants.engine_places import Databases
from tenants.place_kinds import PlaceKind


def kind_of_place() -> PlaceKind:
    return Databases()
