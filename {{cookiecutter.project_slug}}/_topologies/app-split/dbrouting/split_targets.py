"""What commands have to know of databases that are only read, and of apps that are being moved."""

from contextlib import AbstractContextManager
from typing import Any

from dbrouting.adopted_differences import differences_of_adopted_tables
from dbrouting.adopted_tables import make_adopted_tables, open_for_tests
from dbrouting.inspection.findings import Finding, Findings
from dbrouting.moving import under_way
from dbrouting.targets import DatabaseTargets


class AppSplitTargets(DatabaseTargets):
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
