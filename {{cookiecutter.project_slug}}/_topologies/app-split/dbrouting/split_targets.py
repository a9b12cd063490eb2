"""What commands have to know of databases that are only read, and of what is left where an app was."""

from collections.abc import Iterator
from typing import Any

from dbrouting.adopted_tables import make_adopted_tables, open_for_tests
from dbrouting.aliases import lives_on, usable_aliases
from dbrouting.inspection.findings import MANAGE
from dbrouting.routers import OUTBOX
from dbrouting.targets import DatabaseTargets


class AppSplitTargets(DatabaseTargets):
    def ways_home(self, app_label: str, alias: str) -> Iterator[str]:
        """Messages are handled from where they are; other rows have to move."""
        if app_label == OUTBOX:
            yield f"{MANAGE} drain_outbox --alias={alias}"
            return
        for home in usable_aliases():
            if lives_on(app_label, home):
                yield f"{MANAGE} move_app {app_label} --from={alias} --to={home}"

    def prepare_tests(self, options: dict[str, Any]) -> None:
        open_for_tests()

    def fill_tests(self) -> None:
        make_adopted_tables()
