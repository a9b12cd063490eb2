"""What commands have to know of databases that are only read."""

from typing import Any

from dbrouting.adopted_tables import make_adopted_tables, open_for_tests
from dbrouting.targets import DatabaseTargets


class AppSplitTargets(DatabaseTargets):
    def prepare_tests(self, options: dict[str, Any]) -> None:
        open_for_tests()

    def fill_tests(self) -> None:
        make_adopted_tables()
