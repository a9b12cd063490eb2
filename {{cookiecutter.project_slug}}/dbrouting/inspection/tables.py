"""The tables that there are, beside those that the applied migrations made and the routers allow."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from django.conf import settings
from django.db import router
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from dbrouting.aliases import apps_on, lives_on
from dbrouting.explaining import every_model
from dbrouting.inspection.findings import MANAGE, Finding, Findings, in_shell, listed
from dbrouting.inspection.histories import History, Key
from dbrouting.provisioning import quoted
from dbrouting.targets import get_targets

Tables = dict[str, type[Model]]

ENOUGH_ROWS = 1000
# Apps whose tables get rows after each ``migrate``.
FILLED_BY_MIGRATE = ("contenttypes", "auth", "sites")
# What the names begin with of tables that this package makes for a while.
OWN_PREFIX = "dbrouting_"
# Tables that are no model's and nobody's fault: Django's own, PostGIS's and SpatiaLite's.
FAMILIAR_TABLES = frozenset(
    {
        *("django_migrations", "spatial_ref_sys", "geometry_columns", "geography_columns"),
        *("raster_columns", "raster_overviews"),
    }
)


def differences_of_tables(
    history: History, names: set[str], cursor: CursorWrapper, explained: Collection[str] = ()
) -> Findings:
    """Tables and columns that should be there, and aren't, but for those of the apps in ``explained``."""
    if history.contradictions:
        return  # what should be there can't be told until the records agree
    yield from early_tables(history, names, cursor, explained)
    alias = cursor.db.alias
    tables = history.tables(cursor.db)
    expected = {name: model for name, model in tables.items() if model._meta.app_label not in explained}
    missing = {name: model for name, model in expected.items() if name not in names}
    without_migrations = {name for name, model in missing.items() if not history.is_migrated(model)}
    if without_migrations:
        what = f"Tables of apps without migrations are missing: {listed(without_migrations)}."
        yield Finding("error", what, (f"{MANAGE} migrate --run-syncdb --database={alias}",))
    yield from trapped_tables(alias, history, expected, missing.keys() - without_migrations)
    for name in sorted(expected.keys() - missing.keys()):
        if columns := missing_columns(expected[name], cursor):
            what = (
                f"The table {name} lacks columns, though their migrations are recorded as applied: {listed(columns)}."
            )
            yield Finding("error", what, (in_shell("add_columns", alias, name, *columns),))


def trapped_tables(alias: str, history: History, expected: Tables, missing: set[str]) -> Findings:
    """Missing tables whose migrations ``migrate`` takes for applied.

    It can run them once more if nothing of what they made is left; otherwise tables are made one by one.
    """
    labels = apps_to_repeat(alias, history, expected, missing)
    repeated = {name for name in missing if expected[name]._meta.app_label in labels}
    why = "Tables are missing, though their migrations are recorded as applied"
    if alone := missing - repeated:
        what = f"{why}: {listed(alone)}. Rows that migrations put there are not put there again."
        yield Finding("error", what, (in_shell("create_tables", alias, *sorted(alone)),))
    if repeated:
        forget = [f"{MANAGE} migrate {label} zero --fake --database={alias}" for label in to_forget(labels, history)]
        yield Finding("error", f"{why}: {listed(repeated)}.", (*forget, f"{MANAGE} migrate --database={alias}"))


def apps_to_repeat(alias: str, history: History, expected: Tables, missing: set[str]) -> set[str]:
    """Apps none of whose tables are there.

    ``migrate APP zero --fake`` forgets the records of its dependants too, which would then be run on tables that are
    there. So an app is one of these only if each dependant that lives here is, too.
    """
    present = {model._meta.app_label for name, model in expected.items() if name not in missing}
    found = {expected[name]._meta.app_label for name in missing} - present
    while True:
        tied = {
            label
            for label in found
            if any(other not in found and lives_on(other, alias) for other, _ in history.rolled_back_with(label))
        }
        if not tied:
            return found
        found -= tied


def to_forget(labels: set[str], history: History) -> Iterator[str]:
    """Those of ``labels`` that take all of them along, in an order in which ``migrate`` doesn't stumble.

    At its end it fills some apps' tables, unless they are forgotten.
    """
    gone: set[Key] = set()
    in_order = dict.fromkeys([*FILLED_BY_MIGRATE, *(label for label, _ in history.order)])
    for label in (label for label in in_order if label in labels):
        records = history.rolled_back_with(label)
        if not {key for key in records if key[0] == label} <= gone:
            gone |= records
            yield label


def missing_columns(model: type[Model], cursor: CursorWrapper) -> list[str]:
    cursor.execute(f"SELECT * FROM {quoted(cursor.db, model._meta.db_table)} WHERE 1 = 0")
    present = {column[0].lower() for column in cursor.description or ()}
    fields = model._meta.local_concrete_fields
    return [field.column for field in fields if field.column and field.column.lower() not in present]


def early_tables(history: History, names: set[str], cursor: CursorWrapper, explained: Collection[str]) -> Findings:
    """Tables that are there before their migrations: their records were lost."""
    early: dict[str, list[str]] = defaultdict(list)
    for name, model in unexpected_tables(history, names, cursor).items():
        if model and model._meta.app_label not in explained and router.allow_migrate_model(cursor.db.alias, model):
            early[model._meta.app_label].append(name)
    for app_label, found in early.items():
        what = f"Tables are there whose migrations aren't recorded, so that `migrate` will fail: {listed(found)}."
        yield Finding("error", what, (f"{MANAGE} migrate {app_label} --fake-initial --database={cursor.db.alias}",))


def stray_tables(history: History, names: set[str], cursor: CursorWrapper, explained: Collection[str] = ()) -> Findings:
    """Tables that the routers don't allow here, or nobody knows; a database without apps may be somebody else's.

    But for those of the apps in ``explained``.
    """
    alias = cursor.db.alias
    is_ours = bool(apps_on(alias))
    unexpected = unexpected_tables(history, names, cursor)
    unknown = [name for name, model in unexpected.items() if model is None]
    if unknown and is_ours:
        command = f"{MANAGE} inspectdb {' '.join(unknown)} --database={alias}"
        yield Finding("info", f"Tables that no installed app knows: {listed(unknown)}.", (command,))
    strays: dict[str, list[str]] = defaultdict(list)
    for name, model in unexpected.items():
        if model and not router.allow_migrate_model(alias, model):
            strays[model._meta.app_label].append(name)
    for app_label, found in strays.items():
        if app_label not in explained:
            yield strays_of(app_label, found, cursor, is_ours)


def unexpected_tables(history: History, names: set[str], cursor: CursorWrapper) -> dict[str, type[Model] | None]:
    """With the models that have such tables, if there are any."""
    expected = set() if history.contradictions else set(history.tables(cursor.db))
    models = {model._meta.db_table: model for model in every_model() if model._meta.can_migrate(cursor.db)}
    unexpected = names - expected - FAMILIAR_TABLES - cache_tables()
    return {name: models.get(name) for name in sorted(unexpected) if not name.startswith(OWN_PREFIX)}


def strays_of(app_label: str, names: list[str], cursor: CursorWrapper, is_ours: bool) -> Finding:
    """They go all at once, for they may refer to each other; what drops rows isn't among the commands to be run."""
    alias = cursor.db.alias
    what = f"The routers don't allow {app_label} here, and its tables are: {listed(names)}."
    drop = in_shell("drop_tables", alias, *names)
    filled = [f"{rows} in {name}" for name in names if (rows := rows_in(quoted(cursor.db, name), cursor))]
    if not filled:
        return Finding("info", f"{what} They are empty.", (drop,))
    what = f"{what} No query finds what they hold: {listed(filled)}. Copy what you need, and only then: {drop}"
    return Finding("warning" if is_ours else "info", what, tuple(get_targets().ways_home(app_label, alias)))


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
