"""``EveryDatabaseTestCase`` reads replicas inside its transaction, in one test after the other."""

from catalogue.factories import ProductFactory
from catalogue.models import Product
from dbrouting.pinning import unit_of_work
from dbrouting.replicas import is_replica
from dbrouting.testing import EveryDatabaseTestCase


class ReadFromReplicaTests(EveryDatabaseTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        ProductFactory.create(slug="sencha")

    def read_from_a_replica(self) -> None:
        with unit_of_work():
            product = Product.objects.get(slug="sencha")
        assert is_replica(product._state.db)

    test_first = test_second = test_third = read_from_a_replica
