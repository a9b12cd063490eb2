"""What commands must know of databases that are only read, of apps that are moved, and of what these leave behind."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from dbrouting.adopted_differences import differences_of_adopted_tables
from dbrouting.adopted_tables import make_adopted_tables, open_for_tests
from dbrouting.aliases import lives_on, usable_aliases
from dbrouting.inspection.findings import MANAGE, Finding, Findings
from dbrouting.moving import under_way
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

    def differences(self, alias: str) -> Findings:
        return differences_of_adopted_tables(alias)

    def lock(self, alias: str) -> AbstractContextManager[object]:
        return under_way.locked(alias)

    def findings_about_apps(self, alias: str) -> dict[str, Finding]:
        return under_way.findings_about_apps(alias)
