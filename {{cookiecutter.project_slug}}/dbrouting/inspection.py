"""Compare databases with what routers, models and migrations say of them. Nothing is ever written.

Django trusts its records: what ``django_migrations`` says is applied is never looked at again. Here the tables
themselves are looked at.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from config import engine
from dbrouting import reasons
from dbrouting.aliases import apps_on, lives_on, unlisted_aliases, usable_aliases
from dbrouting.blueprints import Blueprint, Blueprints, Key
from dbrouting.explaining import every_model, explain_rule_outside
from dbrouting.mapping import let_go
from dbrouting.provisioning import is_missing_file, quoted
from dbrouting.reachability import describe, variable_of

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
MANAGE = "python manage.py"
AGAIN = f"{MANAGE} check_databases"
ENOUGH_ROWS = 1000
FEW = 5
# Apps whose tables get rows after each ``migrate``.
FILLED_BY_MIGRATE = ("contenttypes", "auth", "sites")
# Tables that are no model's and nobody's fault: Django's own, PostGIS's and SpatiaLite's.
FAMILIAR_TABLES = frozenset(
    {
        *("django_migrations", "spatial_ref_sys", "geometry_columns", "geography_columns"),
        *("raster_columns", "raster_overviews"),
    }
)


class Finding(NamedTuple):
    severity: Severity
    what: str
    commands: tuple[str, ...] = ()


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


def aliases_to_inspect() -> Iterator[str]:
    """Every listed one, then those that are looked up in one of them, if that can be done."""
    yield from usable_aliases()
    if DEFAULT_DB_ALIAS not in usable_aliases() or not problem_of(DEFAULT_DB_ALIAS):
        yield from unlisted_aliases()


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


class Inspector:
    """Inspects one database after the other, and remembers what they have in common."""

    def __init__(self) -> None:
        self.blueprints = Blueprints()

    def inspect(self, alias: str) -> Report:
        if problem := problem_of(alias):
            return Report(alias, problem=problem)
        connection = connections[alias]
        try:
            report = Report(alias, server_of(connection))
            report.is_read_only = is_read_only(connection)
            found = [*refused_writes(report), *self.findings(alias)]
            report.findings = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
        except DatabaseError as error:
            report.findings = [Finding("error", f"It can't be inspected: {' '.join(str(error).split())}")]
        finally:
            let_go(alias)
        return report

    def findings(self, alias: str) -> Iterator[Finding]:
        connection = connections[alias]
        with connection.cursor() as cursor:
            names = set(connection.introspection.table_names(cursor))
            if source := connection.settings_dict["TEST"]["MIRROR"]:
                yield from self.differences_of_copy(alias, source, names)
                return
            blueprint = self.blueprints.of(connection)
            yield from strays(alias, blueprint, names, cursor)
            if apps_on(alias):
                yield from differences_of_tables(alias, blueprint, names, cursor)
                yield from differences_of_records(alias, blueprint)
                yield from left_over_records(alias, blueprint)

    def differences_of_copy(self, alias: str, source: str, names: set[str]) -> Iterator[Finding]:
        """Replication, not ``migrate``, has to bring what a replica lacks."""
        if problem_of(source):
            return
        original = connections[source]
        missing = set(original.introspection.table_names()) - names
        if missing:
            yield Finding("error", f"It lacks tables of {source!r}, so it doesn't replicate it: {listed(missing)}.")
        elif self.blueprints.of(original).applied != self.blueprints.of(connections[alias]).applied:
            yield Finding("warning", f"It hasn't the migrations of {source!r}: replication has stopped, or is late.")


def server_of(connection: BaseDatabaseWrapper) -> str:
    return f"{connection.display_name} {'.'.join(map(str, connection.get_database_version()))}"


def is_read_only(connection: BaseDatabaseWrapper) -> bool:
    """Whether the server, or its sessions, refuse to write."""
    with connection.cursor() as cursor:
        cursor.execute(engine.ASK_READ_ONLY)
        return bool(cursor.fetchone()[0])


def refused_writes(report: Report) -> Iterator[Finding]:
    """After a fail-over, for instance: the URL leads to what is a standby now."""
    if report.is_read_only and apps_on(report.alias):
        variable = variable_of(report.alias)
        yield Finding("error", f"The server refuses to write, and writes are routed here: {variable} must lead to another.")


def differences_of_records(alias: str, blueprint: Blueprint) -> Iterator[Finding]:
    """Migrations that are recorded and shouldn't be, or should be and aren't."""
    here = {label for label in apps.app_configs if lives_on(label, alias)}
    for key, needed in blueprint.contradictions:
        yield Finding(
            "error",
            f"{dotted(key)} is recorded as applied and {dotted(needed)}, which it needs, isn't: `migrate` refuses to "
            "run. If what it made is there:",
            (in_shell("record", alias, *needed),),
        )
    if blueprint.contradictions:
        return
    migrate = f"{MANAGE} migrate --database={alias}"
    if pending := [dotted(key) for key in blueprint.unapplied if key[0] in here]:
        what = f"Migrations that aren't applied: {few(pending)}." if blueprint.applied else "It was never migrated."
        yield Finding("error", what, (migrate,))
    elif blueprint.unapplied:
        elsewhere = [dotted(key) for key in blueprint.unapplied]
        yield Finding("info", f"Migrations of apps that live elsewhere aren't recorded: {few(elsewhere)}.", (migrate,))


def left_over_records(alias: str, blueprint: Blueprint) -> Iterator[Finding]:
    for key in blueprint.unknown:
        is_here = key[0] in apps.app_configs and lives_on(key[0], alias)
        what = f"{dotted(key)} is recorded as applied, and there is no such migration."
        yield Finding("warning" if is_here else "info", what, (in_shell("forget", alias, *key),))


def differences_of_tables(
    alias: str, blueprint: Blueprint, names: set[str], cursor: CursorWrapper
) -> Iterator[Finding]:
    if blueprint.contradictions:
        return  # what should be there can't be told until the records agree
    expected = blueprint.tables(alias, cursor.db)
    missing = {name: model for name, model in expected.items() if name not in names}
    if missing:
        yield from missing_tables(alias, blueprint, expected, missing)
    for name, model in expected.items():
        if name not in missing and (columns := missing_columns(model, cursor)):
            what = f"The table {name} lacks columns that its migrations are recorded to have made: {listed(columns)}."
            yield Finding("error", what, (in_shell("add_columns", alias, name, *columns),))


def missing_tables(
    alias: str, blueprint: Blueprint, expected: dict[str, type[Model]], missing: dict[str, type[Model]]
) -> Iterator[Finding]:
    unmigrated = {name for name, model in missing.items() if model._meta.app_label in blueprint.loader.unmigrated_apps}
    if unmigrated:
        what = f"Tables of apps without migrations are missing: {listed(unmigrated)}."
        yield Finding("error", what, (f"{MANAGE} migrate --run-syncdb --database={alias}",))
    recorded = {name: model for name, model in missing.items() if name not in unmigrated}
    whole = apps_to_repeat(alias, blueprint, expected, recorded)
    repeated = [name for name, model in recorded.items() if model._meta.app_label in whole]
    trapped = "Tables are missing, and their migrations are recorded as applied, so that `migrate` makes none"
    if others := [name for name in recorded if name not in repeated]:
        rows = "Rows that data migrations put there are not put there again."
        yield Finding("error", f"{trapped}: {listed(others)}. {rows}", (in_shell("create_tables", alias, *sorted(others)),))
    if repeated:
        forget = [f"{MANAGE} migrate {label} zero --fake --database={alias}" for label in to_forget(whole, blueprint)]
        yield Finding("error", f"{trapped}: {listed(repeated)}.", (*forget, f"{MANAGE} migrate --database={alias}"))


def to_forget(labels: set[str], blueprint: Blueprint) -> Iterator[str]:
    """Those of ``labels`` whose records take along the others', in an order in which ``migrate`` doesn't stumble.

    After each run it fills some apps' tables, unless they are forgotten.
    """
    gone: set[Key] = set()
    in_order = dict.fromkeys([*FILLED_BY_MIGRATE, *(label for label, _ in blueprint.order)])
    for label in (label for label in in_order if label in labels):
        records = blueprint.rolled_back_with(label)
        if not {key for key in records if key[0] == label} <= gone:
            gone |= records
            yield label


def apps_to_repeat(
    alias: str, blueprint: Blueprint, expected: dict[str, type[Model]], missing: dict[str, type[Model]]
) -> set[str]:
    """Apps whose migrations can be run once more: none of their tables are there.

    ``migrate APP zero --fake`` forgets those of its dependants too, which would then be run on tables that are there.
    So an app is one of these only if each dependant that lives here is, too.
    """
    present = {model._meta.app_label for name, model in expected.items() if name not in missing}
    found = {model._meta.app_label for model in missing.values()} - present
    while True:
        tied = {
            label
            for label in found
            if any(other not in found and lives_on(other, alias) for other, _ in blueprint.rolled_back_with(label))
        }
        if not tied:
            return found
        found -= tied


def missing_columns(model: type[Model], cursor: CursorWrapper) -> list[str]:
    meta = model._meta
    cursor.execute(f"SELECT * FROM {quoted(cursor.db, meta.db_table)} WHERE 1 = 0")
    present = {column[0].lower() for column in cursor.description or ()}
    return [one.column for one in meta.local_concrete_fields if one.column and one.column.lower() not in present]


def strays(alias: str, blueprint: Blueprint, names: set[str], cursor: CursorWrapper) -> Iterator[Finding]:
    """Tables that the project doesn't expect here; a database where no app lives may be somebody else's."""
    is_ours = bool(apps_on(alias))
    expected = {} if blueprint.contradictions else blueprint.tables(alias, cursor.db)
    models = {model._meta.db_table: model for model in every_model() if model._meta.can_migrate(cursor.db)}
    unexpected = sorted(names - set(expected) - FAMILIAR_TABLES - cache_tables())
    early: dict[str, list[str]] = defaultdict(list)
    for name in unexpected:
        if name in models and router.allow_migrate_model(alias, models[name]):
            early[models[name]._meta.app_label].append(name)
        elif name in models:
            yield stray(alias, name, models[name], cursor, "warning" if is_ours else "info")
    if not blueprint.contradictions:
        yield from (too_early(alias, app_label, found) for app_label, found in early.items())
    unknown = [name for name in unexpected if name not in models]
    if unknown and is_ours:
        command = f"{MANAGE} inspectdb {' '.join(unknown)} --database={alias}"
        yield Finding("info", f"Tables that no installed app knows: {listed(unknown)}.", (command,))


def too_early(alias: str, app_label: str, names: list[str]) -> Finding:
    what = f"Tables are there, and no migration is recorded that made them, so that `migrate` will fail: {listed(names)}."
    return Finding("error", what, (f"{MANAGE} migrate {app_label} --fake-initial --database={alias}",))


def stray(alias: str, name: str, model: type[Model], cursor: CursorWrapper, severity: Severity) -> Finding:
    table = quoted(cursor.db, name)
    rows = rows_in(table, cursor)
    what = f"The table {name} is {model._meta.label}'s, which the routers don't allow here; it "
    drop = f"echo 'DROP TABLE {table};' | {MANAGE} dbshell --database={alias}"
    if not rows:
        return Finding("info", f"{what}is empty.", (drop,))
    look = f"echo 'SELECT * FROM {table};' | {MANAGE} dbshell --database={alias}"
    return Finding(severity, f"{what}has {rows} that no query finds. Copy what you need first.", (look, drop))


def rows_in(table: str, cursor: CursorWrapper) -> str:
    """How many rows a table has, in words; a large one isn't counted to its end."""
    cursor.execute(f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT {ENOUGH_ROWS + 1}) AS counted")
    count = cursor.fetchone()[0]
    if count > ENOUGH_ROWS:
        return f"more than {ENOUGH_ROWS} rows"
    return f"{count} row{'s' * (count > 1)}" if count else ""


def cache_tables() -> set[str]:
    """Those that ``createcachetable`` makes."""
    backend = "django.core.cache.backends.db.DatabaseCache"
    return {str(cache.get("LOCATION")) for cache in settings.CACHES.values() if cache.get("BACKEND") == backend}


def findings_about_routing() -> Iterator[Finding]:
    """Models that no router puts anywhere, that are written where they have no table, or that nobody decided about."""
    homes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    undecided: set[str] = set()
    for one in explain_rule_outside(every_model()):
        places = homes[one.model][one.operation]
        if one.alias is not None:
            places.add(one.alias)
        if one.reason in reasons.BY_DEFAULT:
            undecided.add(one.app_label)
    for model, found in homes.items():
        yield from findings_about(model, found)
    if undecided:
        what = f"Nobody decided where these apps live: {listed(undecided)}."
        yield Finding("info", what, (f"{MANAGE} show_routing {' '.join(sorted(undecided))}",))


def findings_about(model: str, homes: dict[str, set[str]]) -> Iterator[Finding]:
    command = (f"{MANAGE} show_routing {model}",)
    tables = homes["migrate"]
    meta = apps.get_model(model)._meta
    if meta.proxy or not meta.managed:
        return
    if not tables:
        yield Finding("error", f"{model} is on no database: the routers allow its table nowhere.", command)
        return
    if without := homes["write"] - tables:
        yield Finding("error", f"{model} is written to {listed(without)}, where the routers allow it no table.", command)
    if idle := tables - homes["write"] - homes["read"]:
        yield Finding("warning", f"{model} has a table on {listed(idle)}, which nothing reads or writes.", command)


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def few(names: list[str]) -> str:
    """The first of them, in their order."""
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")


def dotted(key: Key) -> str:
    return ".".join(key)


def in_shell(function: str, alias: str, *arguments: str) -> str:
    """The command that calls a function of ``dbrouting.mending``."""
    values = ", ".join(f"'{value}'" for value in (alias, *arguments))
    return f'{MANAGE} shell -c "from dbrouting.mending import {function}; {function}({values})"'
