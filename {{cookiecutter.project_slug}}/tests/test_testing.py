"""The test helpers notice what they are for, in pytest and in ``TestCase``."""

import pytest
from django.db import connections, router

from catalogue.factories import CategoryFactory
from catalogue.models import Category
from dbrouting.aliases import is_dummy, usable_aliases
from dbrouting.testing import EveryDatabaseTestCase, assert_routed_to


@pytest.mark.django_db
def test_assert_routed_to_notices_a_query_elsewhere() -> None:
    home = router.db_for_read(Category)

    with (
        pytest.raises(AssertionError, match=f"(?s)Not every query went to 'elsewhere'.*{home}"),
        assert_routed_to("elsewhere"),
    ):
        list(Category.objects.all())


@pytest.mark.django_db
def test_assert_routed_to_notices_that_nothing_was_asked() -> None:
    with pytest.raises(AssertionError, match="No query was made"), assert_routed_to(router.db_for_read(Category)):
        pass


@pytest.mark.django_db
@pytest.mark.usefixtures("every_database")
def test_a_bare_mark_opens_every_database() -> None:
    for alias in usable_aliases():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")


@pytest.mark.usefixtures("every_database")
def test_the_database_fixture_alone_opens_every_database(db: None) -> None:
    for alias in usable_aliases():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")


@pytest.mark.django_db(databases=usable_aliases()[:1])
def test_a_mark_that_names_databases_is_left_as_it_is(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("django_db")

    assert mark.kwargs["databases"] == usable_aliases()[:1]


def test_empty_aliases_are_left_out() -> None:
    assert usable_aliases() == [alias for alias in connections if not is_dummy(alias)]


class EveryDatabaseTests(EveryDatabaseTestCase):
    """Each test starts with the rows of ``setUpTestData`` and nothing else."""

    @classmethod
    def setUpTestData(cls) -> None:
        CategoryFactory.create(slug="tea")

    def test_rows_are_rolled_back_first(self) -> None:
        CategoryFactory.create()
        assert Category.objects.count() == 2

    def test_rows_are_rolled_back_second(self) -> None:
        CategoryFactory.create()
        assert Category.objects.count() == 2

    @pytest.mark.usefixtures("every_database")
    def test_every_database_answers(self) -> None:
        for alias in usable_aliases():
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
