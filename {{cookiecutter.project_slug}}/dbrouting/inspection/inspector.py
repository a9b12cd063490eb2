"""Inspect one database after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from config import engine
from dbrouting.aliases import apps_on, let_go, unlisted_aliases, usable_aliases
from dbrouting.inspection.findings import MANAGE, SEVERITIES, Finding, Findings, listed
from dbrouting.inspection.histories import Histories
from dbrouting.inspection.records import differences_of_records, left_over_records
from dbrouting.inspection.tables import differences_of_tables, stray_tables
from dbrouting.mapping import DatabaseMapping
from dbrouting.overrides import in_database
from dbrouting.provisioning import is_missing_file
from dbrouting.reachability import describe, variable_of
from dbrouting.targets import get_targets

AGAIN = f"{MANAGE} check_databases"


@dataclass
class Report:
    """What was found on one database; ``problem`` says why nothing could be, if it couldn't be reached."""

    alias: str
    server: str = ""
    is_read_only: bool = False
    problem: str = ""
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_reachable(self) -> bool:
        return not self.problem


class Inspector:
    """Remembers what databases have in common."""

    def __init__(self) -> None:
        self.histories = Histories()

    def inspect(self, alias: str) -> Report:
        with in_database(alias):  # what is asked of it is answered by no other
            return self._inspect(alias)

    def _inspect(self, alias: str) -> Report:
        if problem := problem_of(alias):
            unseen = "\nThe databases that are looked up there weren't checked." if leads_to_others(alias) else ""
            return Report(alias, problem=f"{problem}{unseen}")
        report = Report(alias, server_of(connections[alias]))
        try:
            report.is_read_only = answers_yes(connections[alias], engine.ASK_READ_ONLY)
            report.findings += self.findings(report)
        except DatabaseError as error:
            what = f"Not everything could be looked at: {' '.join(str(error).split())}"
            report.findings.append(Finding("error", what))
        finally:
            let_go(alias)
        report.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
        return report

    def findings(self, report: Report) -> Findings:
        connection = connections[report.alias]
        with connection.cursor() as cursor:
            names = set(connection.introspection.table_names(cursor))
            if source := connection.settings_dict["TEST"]["MIRROR"]:
                yield from self.differences_of_copy(connection, source, names)
                return
            history = self.histories.of(connection)
            explained = get_targets().findings_about_apps(report.alias)
            yield from explained.values()
            if apps_on(report.alias):
                yield from refused_writes(report)
                views = {item.name for item in connection.introspection.get_table_list(cursor) if item.type == "v"}
                there = names | views  # a view may stand in for a table
                yield from differences_of_tables(history, there, cursor, explained)
                yield from differences_of_records(report.alias, history)
                yield from left_over_records(report.alias, history)
            yield from stray_tables(history, names, cursor, explained)
            yield from get_targets().differences(report.alias)

    def differences_of_copy(self, copy: BaseDatabaseWrapper, source: str, names: set[str]) -> Findings:
        """What a copy lacks has to come from its source: no command of ours brings it."""
        if problem_of(source):
            return
        original = connections[source]
        if address_of(copy) != address_of(original) and answers_yes(copy, engine.ASK_TAKES_WRITES):
            what = f"The server takes writes, so it is no standby (any more): nothing of {source!r} may reach it."
            yield Finding("warning", f"{what} {variable_of(copy.alias)} must lead to a copy of it.")
        if missing := set(original.introspection.table_names()) - names:
            yield Finding(
                "error",
                f"It lacks tables of {source!r}, and either doesn't copy it or is late: {listed(missing)}.",
            )
        elif self.histories.of(original) is not self.histories.of(copy):
            yield Finding("warning", f"It hasn't the migrations of {source!r}: it is late, or no copy any more.")


def aliases_to_inspect() -> Iterator[str]:
    """Every listed one, then those that are looked up in the default one, if that can be done."""
    yield from usable_aliases()
    if DEFAULT_DB_ALIAS not in usable_aliases() or not problem_of(DEFAULT_DB_ALIAS):
        yield from unlisted_aliases()


def leads_to_others(alias: str) -> bool:
    databases = connections.settings
    return alias == DEFAULT_DB_ALIAS and isinstance(databases, DatabaseMapping) and databases.unlisted is not tuple


def problem_of(alias: str) -> str:
    """Why ``alias`` can't be reached; empty if it can. A missing file is not made by looking."""
    connection = connections[alias]
    if is_missing_file(connection):
        return describe(alias, FileNotFoundError("there is no such file"), then=AGAIN)
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return describe(alias, error, then=AGAIN)
    return ""


def server_of(connection: BaseDatabaseWrapper) -> str:
    return f"{connection.display_name} {'.'.join(map(str, connection.get_database_version()))}"


def address_of(connection: BaseDatabaseWrapper) -> list[str]:
    return [str(connection.settings_dict[key]) for key in ("HOST", "PORT", "NAME")]


def answers_yes(connection: BaseDatabaseWrapper, question: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return bool(cursor.fetchone()[0])


def refused_writes(report: Report) -> Findings:
    """After a fail-over, for instance: the URL leads to what is a standby now."""
    if report.is_read_only:
        variable = variable_of(report.alias)
        yield Finding("error", f"The server refuses to write, and writes come here. {variable} must lead to another.")
